/** The units and rules of udev/ on this host. */
import { join } from 'node:path';
import { type Finding, ok, warning } from './finding.js';
import { textOf } from './text-file.js';

/** File of the package's folder udev -> folders in which it may be installed, the one that counts first. */
const places: Readonly<Record<string, readonly string[]>> = {
  '70-virtio-media-bridge.rules': ['etc/udev/rules.d', 'usr/lib/udev/rules.d', 'lib/udev/rules.d'],
  'virtio-media-bridge@.socket': ['etc/systemd/system', 'usr/lib/systemd/system', 'lib/systemd/system'],
  'virtio-media-bridge@.service': ['etc/systemd/system', 'usr/lib/systemd/system', 'lib/systemd/system'],
};
const PAGE = 'udev/README.md';

/** `root`: of the file system. `own`: the package's folder udev. */
export async function serviceFindings(root: string, own: string): Promise<Finding[]> {
  const missing: string[] = [];
  const differ: string[] = [];
  for (const [name, folders] of Object.entries(places)) {
    const found = await firstOf(folders.map((folder) => join(root, folder, name)));
    if (found === null) missing.push(name);
    else if (found.text !== (await textOf(join(own, name)))) differ.push(found.path);
  }
  if (missing.length === Object.keys(places).length)
    return [ok('service', 'no unit is installed: `serve` is started by hand')];
  if (missing.length > 0)
    return [
      warning(
        'service',
        `${missing.join(' and ')} not installed, the rest is`,
        'install all three files',
        PAGE,
      ),
    ];
  if (differ.length > 0)
    return [
      warning(
        'service',
        `${differ.join(' and ')} not as this version has it`,
        'install the files of this version; changes of your own belong into drop-ins (systemctl edit)',
        PAGE,
      ),
    ];
  return [ok('service', 'units and rules are installed')];
}

async function firstOf(paths: readonly string[]): Promise<{ path: string; text: string } | null> {
  for (const path of paths) {
    const text = await textOf(path);
    if (text !== null) return { path, text };
  }
  return null;
}
