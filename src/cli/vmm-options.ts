/** The VMM options for the served pairs, ready to paste into a shell. */
import { resolve } from 'node:path';
import { quote } from 'shlex';
import { printable } from '../printable.js';
import { boundPath } from './activation.js';
import type { ServedNode } from './served-nodes.js';

/** The memory of the guest in the example. QEMU needs the same size in two options. */
const EXAMPLE_MEMORY = '4G';

/**
 * `pairs`: all of one VM. `identities`: what identifies the device of each, in words. Empty text: the VMM is connected
 * already (--fd), or no path is known.
 */
export function vmmOptions(
  pairs: readonly ServedNode[],
  identities: readonly (string | undefined)[] = [],
): string {
  const served = pairs.flatMap(({ device, socket }, index) => {
    const path = socketPathOf(socket);
    return path === undefined ? [] : [{ device, path, identity: identities[index] }];
  });
  if (served.length === 0) return '';
  const lines = [
    ...served.flatMap(({ device, path, identity }) => [
      printable(`${nameOf(device)} is served on ${path}`),
      ...(identity === undefined ? [] : [printable(`  it is ${identity}`)]),
    ]),
    '',
    'QEMU (the memory of the guest must be shared; put its size in both places):',
    `  -m ${EXAMPLE_MEMORY} -object memory-backend-memfd,id=vmb-memory,size=${EXAMPLE_MEMORY},share=on -machine memory-backend=vmb-memory`,
    ...served.map(({ path }, index) => `  ${qemuDevice(path, index)}`),
    'crosvm:',
    ...served.map(({ path }) => `  --vhost-user ${quote(`media,socket=${path}`)}`),
  ];
  return `${lines.join('\n')}\n`;
}

/** In an option, QEMU reads `,` as the end of a value and `,,` as a comma. */
function qemuDevice(path: string, index: number): string {
  const chardev = quote(`socket,id=vmb${index},path=${path.replaceAll(',', ',,')}`);
  return `-chardev ${chardev} -device vhost-user-media-pci,chardev=vmb${index},vectors=3`;
}

function socketPathOf(socket: ServedNode['socket']): string | undefined {
  if ('path' in socket) return resolve(socket.path);
  return 'listeningFd' in socket ? boundPath(socket.listeningFd) : undefined;
}

const nameOf = (device: ServedNode['device']): string =>
  typeof device === 'number' ? `descriptor ${device}` : device;
