/**
 * The addon answers any input with a value, an errno or an exception. The input is random. VMB_TEST_NODE names a node to
 * use instead of /dev/null.
 */
import assert from 'node:assert/strict';
import { closeSync } from 'node:fs';
import { type LinearMapping, type NodeFile, native } from '../../src/native.js';
import { close, open } from './support/node-file.js';
import { anything, call, linear, memory, pick, random, region, SEED } from './support/nonsense.js';
import { eventually, mappingsOf, openDescriptors, threads } from './support/process.js';

const NODE = process.env.VMB_TEST_NODE ?? '/dev/null';

interface Closable {
  close?: () => void;
}

describe(`addon: nonsense (seed ${SEED})`, () => {
  after(() => {
    linear.close();
    region.close();
    closeSync(memory);
  });

  it('in calls on a node', async () => {
    const before = [openDescriptors(), threads()];
    const file: NodeFile = new native.NodeFile(() => undefined);
    assert.equal(await open(file, NODE), 0);
    const errnos: number[] = [];
    for (let round = 0; round < 20_000; round++) {
      const one = call() as { region?: Closable; mapping?: Closable };
      file.submit(one as never, (errno) => {
        errnos.push(errno);
        one.region?.close?.();
        one.mapping?.close?.();
      });
      if (random(50) === 0) await new Promise(setImmediate);
    }
    await close(file);
    assert.equal(errnos.length, 20_000);
    assert.deepEqual(
      errnos.filter((errno) => !Number.isInteger(errno) || errno < 0 || errno >= 200),
      [],
    );
    assert.ok(await eventually(() => threads() <= before[1]!));
    assert.equal(openDescriptors(), before[0]);
  });

  it('in arguments', () => {
    const before = openDescriptors();
    const fd = native.eventFd();
    const socket = native.socketPair();
    const descriptors = [fd, ...socket, memory, -1, 1_000_000];
    const names = [
      'accept',
      'peerCredentials',
      'user',
      'group',
      'receive',
      'send',
      'isEventFd',
      'drain',
      'signal',
      'punchHole',
      'connect',
      'FdPoller',
      'Region',
    ];
    for (let round = 0; round < 20_000; round++) {
      const name = pick(names);
      const target = native[name as 'send'] as unknown as (...rest: unknown[]) => unknown;
      const first = random(4) === 0 ? anything() : pick(descriptors);
      const rest = Array.from({ length: random(4) }, () => anything());
      // Other numbers could be descriptors of the test runner.
      if (typeof first === 'number' && first >= 0 && !descriptors.includes(first)) continue;
      try {
        const made = /^[A-Z]/.test(name)
          ? Reflect.construct(target, [first, ...rest])
          : target(first, ...rest);
        (made as { close?: () => void } | undefined)?.close?.();
        if (name === 'receive' && typeof made === 'object') {
          for (const each of (made as { descriptors: number[] }).descriptors) closeSync(each);
        }
      } catch (error) {
        assert.ok(error instanceof Error, String(error));
      }
    }
    for (const each of [fd, ...socket]) closeSync(each);
    assert.equal(openDescriptors(), before);
  });

  it('in pieces', async () => {
    const mappings = () => mappingsOf('memfd:nonsense');
    const before = mappings();
    const piece = (): unknown => {
      if (random(10) === 0) return anything();
      const length = pick([1, 100, 4096, 8192, random(1 << 16)]);
      return { region, offset: random(256) * 4096 + pick([0, 0, 0, random(4096)]), length };
    };
    for (let round = 0; round < 20_000; round++) {
      const pieces = random(10) === 0 ? anything() : Array.from({ length: random(6) }, piece);
      let made: LinearMapping | number;
      try {
        made = native.linearMapping(pieces as never);
      } catch (error) {
        assert.ok(error instanceof TypeError && !Array.isArray(pieces), String(error));
        continue;
      }
      if (typeof made === 'number') assert.equal(made, -22);
      else made.close();
    }
    assert.ok(await eventually(() => mappings() === before));
  });

  it('in the rules of ioctls', () => {
    for (let round = 0; round < 1000; round++) {
      const payload = Buffer.alloc(random(12), 0xff);
      const at = pick([0, 4, 8, 0xffff_fffc, 0xffff_ffff, random(12)]);
      const hidden = pick([0, 1, 0xffff_ffff]);
      const isInside = at + 4 <= payload.length;
      const hide = () => native.hideBits(payload, at, hidden, 0, 0);
      if (hidden === 0 || isInside) hide();
      else assert.throws(hide, { name: 'TypeError', message: /an offset inside the payload/ });
      if (isInside) assert.equal(payload.readUInt32LE(at), (0xffff_ffff & ~hidden) >>> 0);
      assert.throws(() => native.hideBits(payload, at, hidden, 0, -1), TypeError);
    }
    for (const rules of [anything(), new Uint8Array(5119), new Uint8Array(5121)])
      assert.throws(() => new native.CommandTable(rules as never), TypeError);
  });

  it('in the records of a buffer', () => {
    for (let round = 0; round < 2000; round++) {
      const record = Buffer.alloc(pick([88, 88, 88, 0, 87, 89]), random(256));
      const planes = Buffer.alloc(pick([0, 64, 512, 576, 63]), random(256));
      const words = Buffer.alloc(4 * random(40) + pick([0, 0, 1]), random(256));
      const isGood = record.length === 88 && planes.length % 64 === 0 && planes.length <= 512;
      for (const [translate, fixed] of [
        [native.hostBuffer, 2],
        [native.guestBuffer, 7],
      ] as const) {
        const call = () => translate(record, planes, words);
        if (isGood && words.length >= 4 * fixed) call();
        else assert.throws(call, TypeError);
        assert.throws(() => translate(record, planes, null as never), TypeError);
      }
    }
  });

  it('in receivers', () => {
    const classes = [native.Region, native.FdPoller, native.NodeFile];
    const rings = [native.Ring, native.CommandTable, native.GuestMemory];
    const methods = [...classes, ...rings].flatMap((type) =>
      Object.getOwnPropertyNames(type.prototype)
        .filter((name) => name !== 'constructor')
        .map((name) => (type.prototype as unknown as Record<string, (...rest: unknown[]) => unknown>)[name]!),
    );
    methods.push(linear.close as (typeof methods)[number]);
    const objects = [
      native.NodeFile.prototype,
      {},
      null,
      1,
      Object.create(region),
      new native.NodeFile(() => undefined),
    ];
    for (const method of methods) {
      for (const receiver of objects) {
        try {
          method.call(receiver);
        } catch (error) {
          assert.ok(error instanceof TypeError, String(error));
        }
      }
    }
    assert.throws(() => (native.Region as unknown as () => void)(), TypeError);
    assert.throws(() => (native.NodeFile as unknown as () => void)(), TypeError);
  });
});
