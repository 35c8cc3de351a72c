/** Boards and values that make the tag's checksums differ. */

/** On these the image CRC covers the kernel alone: PIRELLI_BOARDS in bcm_tag.h. */
export const kernelOnlyBoards: readonly string[] = ['AGPF-S0', 'DWV-S0'];

/** What the T-Com Speedport W303V counts behind the end of the image: spw303v.c. */
export const tcomSuffix = '1821211821212121212121182124211b1818242418212121212121211b1818242421212121212121182121212121211821212121212121212118212121212121';
