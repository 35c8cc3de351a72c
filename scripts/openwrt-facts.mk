# Evaluates device profiles with OpenWrt's own makefiles and prints what they say. No recipe runs and no file is written.
# scripts/openwrt-facts.ts runs it in target/linux/BOARD/image, with the names of the board and of the subtarget.
#
# Goal `facts` prints a line `@device PROFILE` for each device and behind it lines `NAME=VALUE`, where NAME is a variable, or
# `@initramfs`, `@image NAME FILE FILE_SYSTEM` or `@artifact NAME FILE` for a recipe. Goal `facts-commands` prints these too, then a line
# `@commands PROFILE NAME FILE_SYSTEM=SHELL` for each image. A line break in a value is printed as @NL@.

# What `make defconfig` would choose, as far as the makefiles of images ask for it.
CONFIG_TARGET_BOARD := $(FACTS_BOARD)
CONFIG_TARGET_SUBTARGET := $(FACTS_SUBTARGET)
CONFIG_TARGET_$(FACTS_BOARD) := y
CONFIG_TARGET_$(subst .,_,$(subst -,_,$(FACTS_BOARD)_$(FACTS_SUBTARGET))) := y
CONFIG_USE_MUSL := y
CONFIG_GRUB_IMAGES := $(if $(filter x86,$(FACTS_BOARD)),y)
CONFIG_GRUB_EFI_IMAGES := $(if $(filter x86 armsr loongarch64,$(FACTS_BOARD)),y)
# FEATURES and ARCH are not known before OpenWrt's makefiles are read, so these are expanded late.
facts-feature = $(if $(filter $(1),$(FEATURES)),y)
CONFIG_TARGET_ROOTFS_SQUASHFS = $(call facts-feature,squashfs)
CONFIG_TARGET_ROOTFS_EXT4FS = $(call facts-feature,ext4)
CONFIG_TARGET_ROOTFS_UBIFS = $(call facts-feature,ubifs)
CONFIG_TARGET_ROOTFS_JFFS2_NAND = $(call facts-feature,jffs2_nand)
CONFIG_TARGET_ROOTFS_EROFS = $(call facts-feature,erofs)
CONFIG_TARGET_ROOTFS_INITRAMFS = $(call facts-feature,ramdisk separate_ramdisk)
CONFIG_TARGET_ROOTFS_INITRAMFS_SEPARATE = $(call facts-feature,separate_ramdisk)
CONFIG_TARGET_IMAGES_GZIP = $(if $(call facts-feature,ext4)$(filter x86 armsr malta loongarch64,$(FACTS_BOARD)),y)
CONFIG_arm = $(if $(filter arm,$(ARCH)),y)
CONFIG_aarch64 = $(if $(filter aarch64,$(ARCH)),y)
CONFIG_x86_64 = $(if $(filter x86_64,$(ARCH)),y)

define facts-newline


endef
facts-print = $(if $(strip $(2)),$(info $(1)=$(subst $(facts-newline),@NL@,$(2))))
# OpenWrt expands an image's name and recipe when it writes the rule, and again when the rule runs; `$@` is then its file.
facts-twice = $(eval define facts-text$(facts-newline)$(1)$(facts-newline)endef)$(facts-text)
@ := @OUT@
# What is asked for, and what a device (or one before it) has set that the makefiles around it have not.
facts-variables = $(sort ARCH KERNEL_NAME KERNEL_INSTALL $(DEVICE_VARS) $(DEFAULT_DEVICE_VARS) \
	DEVICE_TITLE $(foreach number,0 1 2 3 4 5,DEVICE_ALT$(number)_TITLE) $(filter-out $(subst %,\%,$(facts-before)) facts-%,$(.VARIABLES)))
facts-file-systems = $(filter $(TARGET_FILESYSTEMS),$(FILESYSTEMS))
facts-recipe = $(or $(IMAGE/$(1)/$(2)),$(IMAGE/$(1)))

define facts-device
$(info @device $(1))
$(foreach variable,$(facts-variables),$(call facts-print,$(variable),$($(variable))))
$(if $(CONFIG_TARGET_ROOTFS_INITRAMFS),$(call facts-print,@initramfs,$(KERNEL_INITRAMFS)))
$(foreach image,$(IMAGES),$(foreach system,$(facts-file-systems), \
	$(info @image $(call facts-twice,$(image) $(call DEVICE_IMG_NAME,$(system),$(image))) $(system)=$(call facts-twice,$(call facts-recipe,$(image),$(system))))))
$(foreach artifact,$(ARTIFACTS),$(info @artifact $(artifact) $(DEVICE_IMG_PREFIX)-$(artifact)=$(call facts-twice,$(ARTIFACT/$(artifact)))))
endef

# The rule for an image as OpenWrt writes it, but its recipe is only expanded and printed, with the image's own variables.
# 1: file, 2: device, name and file system, 3: file system, 4: recipe
facts-files = $(subst $(word 2,$^),@ROOTFS@,$(subst $(word 1,$^),@KERNEL@,$(subst $@,@OUT@,$(1))))
define facts-rule
  $(call Device/Export,$(1),$(3))
  facts-commands: $(1)
  $(KDIR_KERNEL_IMAGE) $(KDIR)/root.$(3):
  $(1): $(KDIR_KERNEL_IMAGE) $(KDIR)/root.$(3)
	$$(info @commands $(2)=$$(subst $$(facts-newline),@NL@,$$(call facts-files,$$(call concat_cmd,$(4)))))

endef

# In place of OpenWrt's rules for building. `override` keeps them when image.mk defines its own afterwards.
override define Device/Build
  $$(if $$(call facts-device,$(1)),)
  $$(eval $$(foreach image,$$(IMAGES),$$(foreach system,$$(facts-file-systems),$$(call \
	facts-rule,$$(KDIR)/tmp/$$(call DEVICE_IMG_NAME,$$(system),$$(image)),$(1) $$(image) $$(system),$$(system),$$(call facts-recipe,$$(image),$$(system))))))
  $$(eval $$(foreach artifact,$$(ARTIFACTS),$$(call \
	facts-rule,$$(KDIR)/tmp/$$(DEVICE_IMG_PREFIX)-$$(artifact),$(1) $$(artifact),,$$(ARTIFACT/$$(artifact)))))
endef
override define BuildImage
  $(eval facts-before := $$(.VARIABLES))
  $$(info @folder $$$$KDIR=$(KDIR))$$(info @folder $$$$STAGING_DIR_IMAGE=$(STAGING_DIR_IMAGE))
  $$(info @folder $$$$STAGING_DIR_HOST=$(STAGING_DIR_HOST))$$(info @folder =$(TOPDIR)/)
  $(foreach device,$(TARGET_DEVICES),$(call Device,$(device)))
endef

.PHONY: facts facts-commands
facts facts-commands:

include Makefile
