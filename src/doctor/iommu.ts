/** The IOMMU group of a device. The bridge needs none, but some drivers do more with one. */
import { readlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Finding, ok } from './finding.js';

const TOP = '/sys/devices';

/**
 * `device`: folder of the device below /sys/devices, as the host has it; empty: it has none. `root`: of the file system.
 * A device on a bus without DMA (USB) is in the group of its host controller.
 */
export async function iommuFinding(root: string, what: string, device: string): Promise<Finding> {
  if (device === '') return ok(what, 'no device is behind it, so no IOMMU either');
  const group = await groupOf(root, device);
  if (group !== undefined)
    return ok(what, `IOMMU group ${group}: the bridge needs none, and the device stays with the host`);
  return ok(
    what,
    'no IOMMU group, and none is needed: a driver that wants contiguous memory takes only its own, so its frames may be copied',
  );
}

/** The number of the group of the nearest folder above that has one. undefined: none has. */
async function groupOf(root: string, device: string): Promise<string | undefined> {
  for (let folder = device; folder.startsWith(`${TOP}/`); folder = dirname(folder)) {
    const link = await readlink(join(root, folder, 'iommu_group')).catch(() => null);
    if (link !== null) return basename(link);
  }
  return undefined;
}
