/** Nodes on which runs are compared: the modules and programs that they need. */
import type { ServeOptions } from '../../../src/daemon.js';
import { nodeNamed, provide, unload } from '../../lab/support/kernel-modules.js';
import { LoopbackWriter } from '../../lab/support/loopback-writer.js';
import { UsbCamera } from '../../lab/support/usb-camera.js';

export interface Scene {
  /** /dev path of each kind of node; docs/protocol.md uses the names of the kinds. */
  readonly nodes: ReadonlyMap<string, string>;
  end(): Promise<void> | void;
}

/** The VMM that the preload library plays. */
export type Vmm = 'qemu' | 'crosvm';

/** Options of the bridge for the nodes of a scene. */
export type Options = Partial<ServeOptions>;

export interface SceneRow {
  readonly title: string;
  /**
   * Lanes run side by side; the scenes of a lane run one after the other. All scenes of a driver are in one lane. Both
   * lanes take about the same time.
   */
  readonly lane: 'vivid' | 'others';
  readonly kinds: readonly string[];
  /** Each shows memory in its own way: QEMU as an arena, crosvm each plane directly. Absent: QEMU alone. */
  readonly vmms?: readonly Vmm[];
  readonly serve?: Options;
  /** Rejects with an error that `skipped` knows if the machine has no such nodes. */
  readonly open: () => Promise<Scene>;
}

class Missing extends Error {}

/** A scene is opened outside of any test, so this stands for mocha's context. */
const context = {
  skip: () => {
    throw new Missing('this machine has no such nodes');
  },
} as unknown as Mocha.Context;

/** Skips the test of `context` if its scene is missing. */
export function skipped(test: Mocha.Context): (error: unknown) => never {
  return (error) => {
    if (error instanceof Missing) test.skip();
    throw error;
  };
}

/** Nodes of a driver, by their names in sysfs. */
function nodesOf(lane: SceneRow['lane'], modules: string, names: Readonly<Record<string, string>>): SceneRow {
  return {
    title: modules,
    lane,
    kinds: Object.keys(names),
    open: async () => {
      provide(context, modules);
      const nodes = Object.entries(names).map(([kind, name]) => [kind, nodeNamed(name)] as const);
      return { nodes: new Map(nodes), end: () => unload(modules) };
    },
  };
}

const inBothWays = (row: SceneRow): SceneRow => ({ ...row, vmms: ['qemu', 'crosvm'] });

/** v4l2-compliance presses every button that it finds, so the buttons that inject faults are hidden. */
const vivid = (parameters: string, names: Readonly<Record<string, string>>): SceneRow =>
  nodesOf('vivid', `vivid ${parameters} no_error_inj=1`, names);

const usbCamera: SceneRow = {
  title: 'uvcvideo',
  lane: 'others',
  kinds: ['uvc camera'],
  open: async () => {
    const camera = await UsbCamera.plugIn(context);
    return { nodes: new Map([['uvc camera', camera.node]]), end: () => camera.end() };
  },
};

const LABEL = 'a-loopback';
const [WIDTH, HEIGHT, FRAME_MS] = [320, 180, 33];
/**
 * v4l2loopback with a program that feeds it, but only while somebody streams. Frames that were written between REQBUFS
 * and QUERYBUF show in buffers that the tool has not queued, and more often if the tool's calls take longer.
 */
const loopback: SceneRow = {
  title: 'v4l2loopback',
  lane: 'others',
  kinds: ['loopback'],
  // The driver has no USERPTR, so the tool must not find it through the bridge either.
  serve: { sharedPages: false },
  open: async () => {
    const modules = `v4l2loopback devices=1 exclusive_caps=1 card_label=${LABEL}`;
    provide(context, modules);
    const node = nodeNamed(LABEL);
    const writer = await LoopbackWriter.open(node, WIDTH, HEIGHT);
    const picture = Buffer.alloc(WIDTH * HEIGHT * 2);
    // The node is a capture device only from the first frame on.
    writer.write(picture);
    let feeding = Promise.resolve();
    const feed = async () => {
      if (await writer.isRead()) writer.write(picture);
    };
    const timer = setInterval(() => {
      feeding = feeding.then(feed);
    }, FRAME_MS);
    const end = async () => {
      clearInterval(timer);
      await feeding;
      await writer.close();
      unload(modules);
    };
    return { nodes: new Map([['loopback', node]]), end };
  },
};

/** Part of the titles of the scenes to run; '': all scenes. */
export const wanted = process.env.VMB_COMPLIANCE_SCENE ?? '';

const all: readonly SceneRow[] = [
  vivid('n_devs=1', {
    capture: 'vivid-000-vid-cap',
    output: 'vivid-000-vid-out',
    vbi: 'vivid-000-vbi-cap',
    'vbi output': 'vivid-000-vbi-out',
    radio: 'vivid-000-rad-rx',
    'radio transmitter': 'vivid-000-rad-tx',
    sdr: 'vivid-000-sdr-cap',
    metadata: 'vivid-000-meta-cap',
    'metadata output': 'vivid-000-meta-out',
    touch: 'vivid-000-touch-cap',
  }),
  vivid('n_devs=1 multiplanar=2 node_types=0x101', {
    'multi-planar capture': 'vivid-000-vid-cap',
    'multi-planar output': 'vivid-000-vid-out',
  }),
  inBothWays(
    vivid('n_devs=1 cache_hints=1 node_types=0x101', {
      capture: 'vivid-000-vid-cap',
      output: 'vivid-000-vid-out',
    }),
  ),
  usbCamera,
  loopback,
  nodesOf('others', 'vim2m', { transformer: 'vim2m' }),
  inBothWays(nodesOf('others', 'vim2m multiplanar=2', { transformer: 'vim2m' })),
  nodesOf('others', 'vicodec multiplanar=0', { encoder: 'stateful-encoder', decoder: 'stateful-decoder' }),
  nodesOf('others', 'vicodec multiplanar=1', {
    'multi-planar encoder': 'stateful-encoder',
    'multi-planar decoder': 'stateful-decoder',
  }),
];

export const scenes = all.filter(({ title }) => title.includes(wanted));
