/** The JSON of plans, `docs/schema/flash.schema.json`. Rendering only. */
import type { Plan } from '../flash/plan.ts';
import type { Preflight } from '../flash/preflight.ts';
import { schemaVersion, type Tool } from './json.ts';

/** What `owimg flash --dry-run --json` prints. */
export function planJson(plan: Plan, ready: Preflight, exit: number, tool: Tool): object {
  const {
    device,
    file,
    kind,
    verdict,
    part,
    source,
    partFrom,
    router,
    host,
    name,
    gives,
    port,
    trigger,
    guesses,
    missing,
    notes,
    ramOnly,
    blocks,
    seconds,
    back,
    blockSize,
    singlePort,
  } = plan;
  return {
    schemaVersion,
    tool,
    dryRun: true,
    exit,
    device,
    file: { path: file.path, ...(file.member === undefined ? {} : { member: file.member }), size: file.size, sha256: file.sha256 },
    kind,
    verdict,
    plan: {
      part,
      from: partFrom,
      source,
      router: router ?? null,
      host: host ?? null,
      name: name ?? null,
      gives: gives === undefined ? null : { ...gives, mac: gives.mac ?? null },
      port,
      ...(blockSize === undefined ? {} : { blockSize }),
      ...(singlePort ? { singlePort } : {}),
      trigger: trigger ?? null,
      guesses,
      missing,
      notes,
      ramOnly,
      blocks,
      seconds,
      back,
    },
    host: { interface: ready.interface ?? null, checks: ready.checks },
  };
}

/** What `owimg doctor --json` prints. */
export function doctorJson(ready: Preflight, device: string | null, tool: Tool): object {
  return { schemaVersion, tool, device, host: { interface: ready.interface ?? null, checks: ready.checks } };
}
