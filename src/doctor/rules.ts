/** The udev rules of the host that give a name below /dev. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { textOf } from './text-file.js';

/** Folders of rules, the one that counts first. */
const folders = ['etc/udev/rules.d', 'run/udev/rules.d', 'usr/lib/udev/rules.d', 'lib/udev/rules.d'];

/** The file whose rule names `name` in a SYMLINK, as `/etc/udev/rules.d/75-deskcam.rules`. undefined: none does. */
export async function ruleNaming(root: string, name: string): Promise<string | undefined> {
  for (const folder of folders) {
    const files = await readdir(join(root, folder)).catch(() => []);
    for (const file of files.filter((each) => each.endsWith('.rules')).sort())
      if (isNamedIn((await textOf(join(root, folder, file))) ?? '', name)) return join('/', folder, file);
  }
  return undefined;
}

/** `%n` at the end of a name is the number of the node. */
function isNamedIn(rules: string, name: string): boolean {
  const lines = rules.split('\n').filter((line) => !line.trimStart().startsWith('#'));
  const links = lines.flatMap((line) =>
    [...line.matchAll(/\bSYMLINK\+?=\s*"([^"]*)"/g)].map(([, names]) => names!),
  );
  const names = links.flatMap((each) => each.split(/\s+/));
  return names.some((each) => each === name || each === name.replace(/\d+$/, '%n'));
}
