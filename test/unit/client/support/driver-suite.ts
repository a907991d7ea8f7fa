/** A GuestDriver for each test of a suite, over a FAKE back-end whose device the test writes. */
import assert from 'node:assert/strict';
import type { LaneOptions } from '../../../../src/client/command-lane.js';
import { GuestDriver } from '../../../../src/client/guest-driver.js';
import { Vmm, type VmmOptions } from '../../../../src/client/vmm.js';
import { type FakeBackend, type FakeOptions, fakeBackend } from './fake-backend.js';

export type Device = NonNullable<FakeOptions['device']>;

/** A response: header with the status, then the payload (bytes, or a number of zero bytes). */
export const answer = (status: number, payload: Buffer | number = 0): Buffer => {
  const header = Buffer.alloc(8);
  header.writeUInt32LE(status);
  return Buffer.concat([header, typeof payload === 'number' ? Buffer.alloc(payload) : payload]);
};
export const words = (...values: number[]): Buffer => {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) bytes.writeUInt32LE(value, 4 * i);
  return bytes;
};

/** What a test has: the driver, the VMM that it runs in, and the other end of its socket. */
export interface Driven {
  readonly backend: FakeBackend;
  readonly frontEnd: Vmm;
  readonly driver: GuestDriver;
  /** The readable part of each command, in order. */
  readonly seen: Buffer[];
}

/** Adds the hooks of a suite. What the test has is given to `made`, and is closed after the test. */
export function driverSuite(made: (driven: Driven) => void) {
  let backend: FakeBackend;
  let frontEnd: Vmm;
  let driver: GuestDriver;

  async function connect(
    options: FakeOptions,
    vmm: Partial<VmmOptions>,
    lane: Partial<LaneOptions> = {},
    seen: Buffer[] = [],
  ): Promise<void> {
    const pair = fakeBackend(options);
    backend = pair.backend;
    frontEnd = await Vmm.connect(pair.fd, vmm);
    driver = await GuestDriver.probe(frontEnd, lane);
    made({ backend, frontEnd, driver, seen });
  }

  async function start(
    device: Device,
    lane: Partial<LaneOptions> = {},
    options: Partial<VmmOptions> = {},
  ): Promise<Buffer[]> {
    const seen: Buffer[] = [];
    const seeing: Device = (readable, itself) => {
      seen.push(readable);
      return device(readable, itself);
    };
    await connect({ device: seeing }, { queueSize: 64, ...options }, lane, seen);
    return seen;
  }

  /** Opens session `id`. `device` gets every command except OPEN. */
  async function open(id: number, device: Device, lane: Partial<LaneOptions> = {}): Promise<void> {
    const seen = await start(
      (readable, itself) => (readable.readUInt32LE() === 1 ? words(0, 0, id, 0) : device(readable, itself)),
      lane,
    );
    assert.equal(await driver.open(), id);
    seen.length = 0;
  }

  afterEach(() => {
    frontEnd.close();
    backend.close();
  });
  return { connect, start, open };
}
