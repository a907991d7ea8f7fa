import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type FdPoller, native, PollEvents } from '../../src/native.js';
import { eventually, openDescriptors } from './support/process.js';

const { READABLE, WRITABLE } = PollEvents;

describe('addon: FdPoller', () => {
  const pollers: FdPoller[] = [];
  const descriptors: number[] = [];
  const eventFd = (): number => {
    const fd = native.eventFd();
    descriptors.push(fd);
    return fd;
  };
  const poll = (fd: number, callback: (events: number) => void): FdPoller => {
    const poller = new native.FdPoller(fd, callback);
    pollers.push(poller);
    return poller;
  };
  afterEach(() => {
    for (const poller of pollers.splice(0)) poller.close();
    for (const fd of descriptors.splice(0)) closeSync(fd);
  });

  it('waits for nothing until it is told to', async () => {
    const fd = eventFd();
    native.signal(fd);
    let calls = 0;
    poll(fd, () => calls++);
    await sleep(20);
    assert.equal(calls, 0);
  });

  it('reports what is asked for, level-triggered', async () => {
    const fd = eventFd();
    const seen: number[] = [];
    const poller = poll(fd, (events) => {
      seen.push(events);
      if (seen.length === 3) native.drain(fd);
    });
    poller.watch(READABLE);
    await sleep(20);
    assert.deepEqual(seen, []);
    native.signal(fd);
    assert.ok(await eventually(() => seen.length === 3));
    await sleep(20);
    assert.deepEqual(seen, [READABLE, READABLE, READABLE]);
    poller.watch(WRITABLE);
    assert.ok(await eventually(() => seen.length > 3));
    assert.equal(seen.at(-1), WRITABLE);
    native.signal(fd);
    poller.watch(READABLE | WRITABLE);
    assert.ok(await eventually(() => seen.at(-1) === (READABLE | WRITABLE)));
  });

  it('falls silent with watch(0), a hang-up too', async () => {
    const [a, b] = native.socketPair();
    let calls = 0;
    const poller = poll(a, () => {
      calls++;
      poller.watch(0);
    });
    poller.watch(READABLE);
    closeSync(b);
    assert.ok(await eventually(() => calls === 1));
    await sleep(20);
    assert.equal(calls, 1);
    poller.close();
    closeSync(a);
  });

  it('reports a hang-up as everything that is watched', async () => {
    const [a, b] = native.socketPair();
    const seen: number[] = [];
    const poller = poll(a, (events) => {
      seen.push(events);
      poller.watch(0);
    });
    poller.watch(READABLE | WRITABLE);
    closeSync(b);
    assert.ok(await eventually(() => seen.length === 1));
    assert.deepEqual(seen, [READABLE | WRITABLE]);
    poller.close();
    closeSync(a);
  });

  it('runs microtasks after the callback', async () => {
    const fd = eventFd();
    const order: string[] = [];
    const poller = poll(fd, () => {
      poller.watch(0);
      order.push('callback');
      Promise.resolve().then(() => order.push('microtask'));
      setImmediate(() => order.push('immediate'));
    });
    poller.watch(READABLE);
    native.signal(fd);
    assert.ok(await eventually(() => order.length === 3));
    assert.deepEqual(order, ['callback', 'microtask', 'immediate']);
  });

  it('says nothing after close, which may be called twice and inside the callback', async () => {
    const fd = eventFd();
    let calls = 0;
    const poller = poll(fd, () => {
      calls++;
      poller.close();
      poller.close();
      poller.watch(READABLE);
    });
    poller.watch(READABLE);
    native.signal(fd);
    await sleep(30);
    assert.equal(calls, 1);
  });

  it('lets one descriptor have several pollers', async () => {
    const fd = eventFd();
    const seen = new Set<string>();
    const one = poll(fd, () => {
      seen.add('one');
      one.watch(0);
    });
    const two = poll(fd, () => {
      seen.add('two');
      two.watch(0);
    });
    one.watch(READABLE);
    two.watch(READABLE);
    native.signal(fd);
    assert.ok(await eventually(() => seen.size === 2));
  });

  it('refuses what cannot be polled', () => {
    assert.throws(() => new native.FdPoller(-1, () => undefined), { code: 'EBADF', syscall: 'epoll_ctl' });
    const file = openSync('/etc/hostname', 'r');
    assert.throws(() => new native.FdPoller(file, () => undefined), { code: 'EPERM' });
    closeSync(file);
    assert.throws(() => poll(eventFd(), () => undefined).watch(2), TypeError);
    assert.throws(() => new native.FdPoller(0, 'callback' as never), TypeError);
  });

  it('leaks no descriptor', async () => {
    const fd = eventFd();
    const before = openDescriptors();
    for (let round = 0; round < 500; round++) {
      const poller = new native.FdPoller(fd, () => undefined);
      poller.watch(READABLE);
      poller.close();
    }
    await new Promise(setImmediate);
    assert.equal(openDescriptors(), before);
  });

  it('keeps the process alive until it is closed', () => {
    const script = `
      import { native } from ${JSON.stringify(fileURLToPath(new URL('../../src/native.js', import.meta.url)))};
      const fd = native.eventFd();
      const poller = new native.FdPoller(fd, () => undefined);
      poller.watch(1);
      setTimeout(() => { poller.close(); console.log('closed'); }, 50).unref();
    `;
    const { status, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    assert.deepEqual([status, stdout], [0, 'closed\n']);
  });

  it('makes what the callback throws an uncaught exception, and goes on', () => {
    const script = `
      import { native } from ${JSON.stringify(fileURLToPath(new URL('../../src/native.js', import.meta.url)))};
      const fd = native.eventFd();
      native.signal(fd);
      let calls = 0;
      const poller = new native.FdPoller(fd, () => { if (++calls === 2) poller.close(); throw new Error('call ' + calls); });
      process.on('uncaughtException', (error) => console.log(error.message));
      poller.watch(1);
    `;
    const { status, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    assert.deepEqual([status, stdout], [0, 'call 1\ncall 2\n']);
  });
});
