/** The device under test: over a fake host, or over a real V4L2 node. */
import { closeSync } from 'node:fs';
import { MediaDevice } from '../../src/media/device.js';
import { ObjectTable } from '../../src/media/memory/object-table.js';
import { isFailure } from '../../src/result.js';
import { bufferTypesOf } from '../../src/v4l2/enumeration.js';
import { openMedia, requestQueues } from '../../src/v4l2/media-request.js';
import { HostNode } from '../../src/v4l2/node.js';
import { FakeHost } from './fake-host.js';
import type { Target } from './fuzzer.js';
import type { Random } from './random.js';
import { Records } from './records.js';

export interface Subject {
  readonly device: MediaDevice;
  /** Buffer types that it has. */
  readonly types: readonly number[];
  /** Lets the fake host make one step. */
  live(): void;
  /** Releases every call that the fake host blocks. */
  relax(): void;
  /** Only for a fake: the calls that it got, and the product's record of its state. */
  readonly known?: { readonly host: FakeHost; readonly records: Records };
  close(): void;
}

const fakeTypes = [1, 2, 9, 10];

export async function makeSubject(
  random: Random,
  target: Target,
  sharedMemorySize: number,
): Promise<Subject> {
  const options = {
    sharedMemorySize,
    mmap: 'auto',
    sharedPages: random.chance(0.7),
    errorEvents: random.chance(0.5),
    ...(random.chance(0.5) && { objects: new ObjectTable() }),
  } as const;
  const mode = random.pick(['auto', 'handles', null] as const);
  if (target.device !== undefined) return onNode(target.device, options, mode);
  const fake = new FakeHost(random);
  const records = new Records(fake);
  const description = { driver: 'fake', card: 'fake', busInfo: '', deviceCaps: 0x0520_0003, deviceType: 0 };
  const requests = mode && { requests: { mode, media: { fd: -1 } } };
  return {
    device: new MediaDevice(fake.host, description, { ...options, ...requests }),
    types: fakeTypes,
    live: () => fake.live(),
    relax: () => fake.relax(),
    known: { host: fake, records },
    close: () => {
      records.close();
      fake.close();
    },
  };
}

async function onNode(
  path: string,
  options: ConstructorParameters<typeof MediaDevice>[2],
  mode: 'auto' | 'handles' | null,
): Promise<Subject> {
  const node = new HostNode(path);
  const description = await node.describe();
  const takesRequests = mode && requestQueues(description.deviceCaps).length > 0;
  const fd = takesRequests ? await openMedia(path) : null;
  const media = fd === null || isFailure(fd) ? null : { fd };
  const requests = mode && media && { requests: { mode, media } };
  return {
    device: new MediaDevice(node, description, { ...options, ...requests }),
    types: bufferTypesOf(description.deviceCaps),
    live: () => undefined,
    relax: () => undefined,
    close: () => {
      if (media) closeSync(media.fd);
    },
  };
}
