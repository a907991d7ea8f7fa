/** What a service manager is told, over a real datagram socket (sd_notify(3)). Python reads it, because Node cannot. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Errno } from '../../src/errno.js';
import { log } from '../../src/log.js';
import { native } from '../../src/native.js';
import { ServiceManager } from '../../src/service-manager.js';
import { eventually } from './support/process.js';

/** Prints one line for each datagram, with its line ends as |. */
const READER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind('\\0' + sys.argv[1][1:] if sys.argv[1][0] == '@' else sys.argv[1])
print('bound', flush=True)
while True: print(s.recv(4096).decode().replace('\\n', '|'), flush=True)
`;

describe('addon: the service manager', function () {
  this.timeout(20_000);
  let folder: string;
  let reader: ChildProcess | undefined;
  const lines: string[] = [];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vmb-notify-'));
    lines.length = 0;
  });
  afterEach(() => {
    reader?.kill('SIGKILL');
    reader = undefined;
    rmSync(folder, { recursive: true });
  });

  async function listen(path: string): Promise<void> {
    reader = spawn('python3', ['-c', READER, path], { stdio: ['ignore', 'pipe', 'inherit'] });
    const read = createInterface({ input: reader.stdout! });
    await once(read, 'line');
    read.on('line', (line) => lines.push(line));
  }
  const heard = (...expected: readonly string[]) =>
    eventually(() => lines.length >= expected.length, 5000).then(() =>
      assert.deepEqual(lines.slice(0, expected.length), expected),
    );

  for (const name of ['a path', 'an abstract name'])
    it(`is told of the life of a process, at ${name}`, async () => {
      const path = name === 'a path' ? join(folder, 'notify') : `@vmb-notify-${process.pid}`;
      await listen(path);
      const env = { NOTIFY_SOCKET: path, PATH: '/bin' };
      const manager = ServiceManager.of(env, process.pid);
      assert.deepEqual(env, { PATH: '/bin' }, 'a child process would speak for this one');
      manager.ready('1 device, 0 VMs');
      manager.status('evil\nMAINPID=1');
      manager.stopping();
      await heard('READY=1|STATUS=1 device, 0 VMs', 'STATUS=evil?MAINPID=1', 'STOPPING=1');
    });

  it('gets signs of life at half of its interval, until the end', async () => {
    const path = join(folder, 'notify');
    await listen(path);
    const manager = ServiceManager.of({ NOTIFY_SOCKET: path, WATCHDOG_USEC: '40000' }, process.pid);
    manager.ready('');
    await heard('READY=1|STATUS=', 'WATCHDOG=1', 'WATCHDOG=1');
    manager.stopping();
    assert.ok(await eventually(() => lines.includes('STOPPING=1'), 5000));
    const count = lines.length;
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(lines.length, count, 'signs of life after the end');
  });

  it('gets none if they are not asked for, or asked of another process', async () => {
    const path = join(folder, 'notify');
    await listen(path);
    for (const more of [
      {},
      { WATCHDOG_USEC: '10000', WATCHDOG_PID: '1' },
      { WATCHDOG_USEC: 'often' },
      { WATCHDOG_USEC: '-5' },
    ]) {
      const manager = ServiceManager.of({ NOTIFY_SOCKET: path, ...more }, process.pid);
      manager.ready('');
      await new Promise((resolve) => setTimeout(resolve, 50));
      manager.stopping();
    }
    await heard(...Array.from({ length: 4 }, () => ['READY=1|STATUS=', 'STOPPING=1']).flat());
  });

  it('is not there: nothing is sent; or it is deaf: a line in the log, and the process goes on', () => {
    ServiceManager.of({}, process.pid).ready('');
    log.silent = true;
    try {
      ServiceManager.of({ NOTIFY_SOCKET: join(folder, 'nobody') }, process.pid).status('');
    } finally {
      log.silent = false;
    }
  });

  it('has an address that a datagram can be sent to: the errno says why not', () => {
    assert.equal(native.sendDatagram(join(folder, 'nobody'), ''), Errno.ENOENT);
    assert.equal(native.sendDatagram('', ''), Errno.EINVAL);
    assert.equal(native.sendDatagram('/'.padEnd(109, 'x'), ''), Errno.EINVAL);
    assert.throws(() => native.sendDatagram(1 as unknown as string, ''), /sendDatagram/);
  });
});
