/**
 * A node used as a program of the host uses it, without the bridge. The bridge's answers are compared with its results.
 */
import assert from 'node:assert/strict';
import { type NodeCall, type NodeFile, native } from '../../../src/native.js';
import { encoded, type Field, type Struct, type ValueOf } from '../../../src/struct.js';
import { control, extControls } from '../../../src/v4l2/control-layout.js';
import { Ioctl } from '../../../src/v4l2/ioctls.js';
import { requestBuffers } from '../../../src/v4l2/layout.js';
import { close, open, submit } from '../../addon/support/node-file.js';

export interface NativeAnswer {
  readonly errno: number;
  readonly payload: Buffer;
}

export class NativeNode {
  private constructor(private readonly file: NodeFile) {}

  static async open(path: string): Promise<NativeNode> {
    const file = new native.NodeFile(() => undefined);
    assert.equal(await open(file, path), 0, `open ${path}`);
    return new NativeNode(file);
  }

  /** Opens the node, calls `use`, and closes the node. */
  static async with<T>(path: string, use: (node: NativeNode) => T | Promise<T>): Promise<T> {
    const node = await NativeNode.open(path);
    try {
      return await use(node);
    } finally {
      await node.close();
    }
  }

  /** Runs the call after everything that was submitted before. Resolves to its errno. */
  submit(call: NodeCall): Promise<number> {
    return submit(this.file, call);
  }

  /** Runs an ioctl whose payload contains no pointer. */
  async ioctl(nr: number, payload: Uint8Array): Promise<NativeAnswer> {
    const copy = Buffer.from(payload);
    return { errno: await this.submit({ kind: 'ioctl', nr, payload: copy }), payload: copy };
  }

  /** As `ioctl`, for a record. Fails the test if the ioctl fails. */
  // biome-ignore lint/suspicious/noExplicitAny: struct() takes the same open set of fields
  async call<F extends Record<string, Field<any>>>(
    nr: number,
    record: Struct<F>,
    fields: Partial<ValueOf<F>>,
  ): Promise<ValueOf<F>> {
    const { errno, payload } = await this.ioctl(nr, encoded(record, fields));
    assert.equal(errno, 0, `ioctl ${nr}`);
    return record.read(payload);
  }

  /** REQBUFS. Resolves to the errno only. */
  async request(count: number, type: number, memory = 1): Promise<number> {
    return (await this.ioctl(Ioctl.REQBUFS, encoded(requestBuffers, { count, type, memory }))).errno;
  }

  async setControl(id: number, value: number): Promise<void> {
    await this.call(Ioctl.S_CTRL, control, { id, value });
  }

  async getControl(id: number): Promise<number> {
    return (await this.call(Ioctl.G_CTRL, control, { id })).value;
  }

  /** G/S/TRY_EXT_CTRLS of an array with payloads. Both are changed in place. */
  async controls(
    nr: number,
    which: number,
    array: Buffer,
    payloads: readonly (Uint8Array | null)[],
  ): Promise<{ errno: number; errorIdx: number }> {
    const controls = encoded(extControls, { which, count: payloads.length });
    const errno = await this.submit({ kind: 'controls', nr, controls, array, payloads });
    return { errno, errorIdx: extControls.read(controls).errorIdx };
  }

  close(): Promise<void> {
    return close(this.file);
  }
}

/** Whether another program could request the node's buffers now. */
export function isFree(path: string, type: number): Promise<boolean> {
  return NativeNode.with(path, async (node) => (await node.request(2, type)) === 0);
}
