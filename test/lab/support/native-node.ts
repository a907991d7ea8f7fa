/**
 * A node used as a program of the host uses it, without the bridge. The bridge's answers are compared with its results.
 */
import assert from 'node:assert/strict';
import { encoded } from '../../../src/client/record.js';
import { type NodeCall, type NodeFile, native } from '../../../src/native.js';
import type { Field, Struct, ValueOf } from '../../../src/struct.js';
import { control, extControls } from '../../../src/v4l2/control-layout.js';
import { Ioctl } from '../../../src/v4l2/ioctls.js';
import { requestBuffers } from '../../../src/v4l2/layout.js';

export interface NativeAnswer {
  readonly errno: number;
  readonly payload: Buffer;
}

export class NativeNode {
  private constructor(private readonly file: NodeFile) {}

  /** `path`: a number is a descriptor, which stays the caller's. */
  static async open(path: string | number): Promise<NativeNode> {
    const file = new native.NodeFile(() => undefined);
    const errno = await new Promise<number>((resolve) => file.open(path, resolve));
    assert.equal(errno, 0, `open ${path}`);
    return new NativeNode(file);
  }

  /** Opens the node, calls `use`, and closes the node. */
  static async with<T>(path: string | number, use: (node: NativeNode) => T | Promise<T>): Promise<T> {
    const node = await NativeNode.open(path);
    try {
      return await use(node);
    } finally {
      await node.close();
    }
  }

  run(call: NodeCall): number {
    return this.file.run(call);
  }

  /** Runs the call on the lane, after everything that was submitted before. Resolves to its errno. */
  submit(call: NodeCall): Promise<number> {
    return new Promise((resolve) => this.file.submit(call, resolve));
  }

  /** Runs an ioctl whose payload contains no pointer. */
  ioctl(nr: number, payload: Uint8Array): NativeAnswer {
    const copy = Buffer.from(payload);
    return { errno: this.run({ kind: 'ioctl', nr, payload: copy }), payload: copy };
  }

  /** As `ioctl`, for a record. Fails the test if the ioctl fails. */
  // biome-ignore lint/suspicious/noExplicitAny: struct() takes the same open set of fields
  call<F extends Record<string, Field<any>>>(
    nr: number,
    record: Struct<F>,
    fields: Partial<ValueOf<F>>,
  ): ValueOf<F> {
    const { errno, payload } = this.ioctl(nr, encoded(record, fields));
    assert.equal(errno, 0, `ioctl ${nr}`);
    return record.read(payload);
  }

  /** REQBUFS. Returns only the errno. */
  request(count: number, type: number, memory = 1): number {
    return this.ioctl(Ioctl.REQBUFS, encoded(requestBuffers, { count, type, memory })).errno;
  }

  setControl(id: number, value: number): void {
    this.call(Ioctl.S_CTRL, control, { id, value });
  }

  getControl(id: number): number {
    return this.call(Ioctl.G_CTRL, control, { id }).value;
  }

  /** G/S/TRY_EXT_CTRLS of an array with payloads. Both are changed in place. */
  controls(
    nr: number,
    which: number,
    array: Buffer,
    payloads: readonly (Uint8Array | null)[],
  ): { errno: number; errorIdx: number } {
    const controls = encoded(extControls, { which, count: payloads.length });
    const errno = this.run({ kind: 'controls', nr, controls, array, payloads });
    return { errno, errorIdx: extControls.read(controls).errorIdx };
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.file.close(() => resolve()));
  }
}

/** Whether another program could request the node's buffers now. */
export function isFree(path: string, type: number): Promise<boolean> {
  return NativeNode.with(path, (node) => node.request(2, type) === 0);
}
