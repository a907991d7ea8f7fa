/** A VMM for each test of a suite, over a FAKE back-end. */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { GuestDriver } from '../../../../src/client/guest-driver.js';
import { Vmm, type VmmOptions } from '../../../../src/client/vmm.js';
import { native } from '../../../../src/native.js';
import { type FakeBackend, type FakeOptions, fakeBackend } from './fake-backend.js';

export const PAGE = 4096;

/** What a test has. `file`: a memory file of 16 pages, which the back-end may map. */
export interface Connected {
  readonly backend: FakeBackend;
  readonly frontEnd: Vmm;
  readonly file: number;
}

/** Adds the hooks of a suite. What the test has is given to `made`, and is closed after the test. */
export function vmmSuite(made: (connected: Connected) => void) {
  let backend: FakeBackend | undefined;
  let frontEnd: Vmm | undefined;
  let file: number;

  async function connect(options: Partial<VmmOptions> = {}, fake: FakeOptions = {}): Promise<void> {
    const pair = fakeBackend(fake);
    backend = pair.backend;
    frontEnd = await Vmm.connect(pair.fd, { queueSize: 16, ...options });
    made({ backend, frontEnd, file });
  }

  async function start(options: Partial<VmmOptions> = {}, fake: FakeOptions = {}): Promise<GuestDriver> {
    await connect(options, fake);
    backend!.log.length = 0;
    const driver = await GuestDriver.probe(frontEnd!);
    await settled();
    return driver;
  }

  /** Waits until the back-end has received every request, also those without an acknowledgement. */
  async function settled(): Promise<void> {
    await frontEnd!.readConfig();
    assert.equal(backend!.log.pop()?.request, 24);
  }

  before(() => {
    file = native.memoryFile('front-end-test', 16 * PAGE);
  });
  after(() => closeSync(file));
  afterEach(() => {
    frontEnd?.close();
    backend?.close();
  });
  return { connect, start, settled };
}
