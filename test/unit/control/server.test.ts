/** What a client of a control socket may do, on a real socket. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ControlClient } from '../../../src/control/client.js';
import { ControlCommands, ControlError } from '../../../src/control/commands.js';
import { MAX_CLIENTS, MAX_REQUEST } from '../../../src/control/protocol.js';
import { ControlServer } from '../../../src/control/server.js';
import { openLoopDescriptors } from '../../support/loop-descriptors.js';
import { until } from '../../support/until.js';
import { openDescriptors, withoutLog } from '../vhost-user/support/vmm.js';

/** Milliseconds: long enough for a busy machine, except where a test waits for them. */
const patient = { line: 60_000, idle: 60_000, read: 60_000, pace: 0 };
const STATUS = '{"version":1,"command":"echo"}\n';

describe('control server', () => {
  withoutLog();
  let folder: string;
  let path: string;
  let opened: number;
  let server: ControlServer;
  let commands: ControlCommands;
  let sockets: Socket[];

  const listen = (limits: Partial<typeof patient> = {}) => {
    server = new ControlServer(path, commands, { ...patient, ...limits });
  };
  before(openLoopDescriptors);
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vmb-control-'));
    path = join(folder, 'a.control');
    opened = openDescriptors();
    sockets = [];
    commands = new ControlCommands();
    commands.add('echo', (given) => given);
  });
  afterEach(async () => {
    server.close();
    for (const socket of sockets) socket.destroy();
    await until(() => openDescriptors() <= opened, 'descriptors are left');
    rmSync(folder, { recursive: true });
  });

  /** A client that writes what it likes, and what it has heard. */
  async function client(): Promise<{ socket: Socket; heard: () => string; isOver: () => boolean }> {
    const socket = createConnection({ path, allowHalfOpen: true });
    sockets.push(socket);
    let text = '';
    let isOver = false;
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.on('error', () => undefined);
    for (const event of ['end', 'close'])
      socket.on(event, () => {
        isOver = true;
      });
    await new Promise((resolve) => socket.once('connect', resolve));
    return { socket, heard: () => text, isOver: () => isOver };
  }
  const lines = (text: string) =>
    text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  const codes = (text: string) => lines(text).map(({ ok, error }) => (ok ? 'ok' : error.code));

  it('is for its user only', () => {
    listen();
    assert.equal(statSync(path).mode & 0o777, 0o600);
  });

  it('answers a line with a line, as often as it is asked', async () => {
    listen();
    const { socket, heard } = await client();
    socket.write('{"version":1,"command":"echo","a":[1]}\n{"version":1,"com');
    await until(() => heard().endsWith('\n'));
    assert.equal(heard(), '{"version":1,"ok":true,"result":{"a":[1]}}\n');
    socket.write('mand":"echo"}\n');
    await until(() => lines(heard()).length === 2);
    assert.deepEqual(lines(heard())[1], { version: 1, ok: true, result: {} });
  });

  it('answers what came before the client has ended its side, also a line without its newline', async () => {
    listen();
    const { socket, heard, isOver } = await client();
    socket.end(`${STATUS}${STATUS.trim()}`);
    await until(isOver);
    assert.deepEqual(codes(heard()), ['ok', 'ok']);
  });

  for (const [what, line, code] of [
    ['no JSON', 'status', 'malformed'],
    ['an empty line', '', 'malformed'],
    ['bytes that are no UTF-8', Buffer.from([0xff, 0xfe, 0x00]), 'malformed'],
    ['a list', '[]', 'malformed'],
    ['null', 'null', 'malformed'],
    ['a number', '1', 'malformed'],
    ['no command', '{"version":1}', 'malformed'],
    ['a command that is no text', '{"version":1,"command":{}}', 'malformed'],
    ['no version', '{"command":"echo"}', 'malformed'],
    ['another version', '{"version":2,"command":"echo"}', 'version'],
    ['an unknown command', '{"version":1,"command":"__proto__"}', 'unknown'],
    ['deep JSON', `${'['.repeat(MAX_REQUEST / 2)}${']'.repeat(MAX_REQUEST / 2)}`, 'malformed'],
  ] as const)
    it(`refuses ${what}, and goes on`, async () => {
      listen();
      const { socket, heard } = await client();
      socket.write(Buffer.concat([Buffer.from(line), Buffer.from('\n')]));
      socket.write(STATUS);
      await until(() => lines(heard()).length === 2);
      assert.deepEqual(codes(heard()), [code, 'ok']);
    });

  it('says why a command has failed, but not of what else went wrong in it', async () => {
    commands.add('bad', () => {
      throw new ControlError('arguments', 'device is missing');
    });
    commands.add('broken', async () => {
      throw new Error('secret');
    });
    listen();
    const { socket, heard } = await client();
    socket.write('{"version":1,"command":"bad"}\n{"version":1,"command":"broken"}\n');
    await until(() => lines(heard()).length === 2);
    assert.deepEqual(
      lines(heard()).map(({ error }) => error),
      [
        { code: 'arguments', message: 'device is missing' },
        { code: 'failed', message: 'the command has failed' },
      ],
    );
  });

  it('has each name once', () => {
    listen();
    assert.throws(() => commands.add('echo', () => null), RangeError);
  });

  it('cuts a line that is too long, whether it ends or not', async () => {
    listen();
    for (const end of ['', '\n']) {
      const { socket, heard, isOver } = await client();
      socket.write(`${'x'.repeat(MAX_REQUEST + 1)}${end}`);
      await until(isOver);
      assert.deepEqual(codes(heard()), ['too-long']);
    }
    const { socket, heard } = await client();
    const most = JSON.stringify({ version: 1, command: 'echo', a: '' });
    socket.write(`${most.replace('""', `"${'x'.repeat(MAX_REQUEST - most.length)}"`)}\n`);
    await until(() => heard().endsWith('\n'));
    assert.deepEqual(codes(heard()), ['ok'], 'one of the most bytes is none');
  });

  it('cuts a client whose line does not end, however often a byte of it comes', async () => {
    listen({ line: 200 });
    const { socket, heard, isOver } = await client();
    const timer = setInterval(() => socket.write('x'), 10);
    await until(isOver);
    clearInterval(timer);
    assert.deepEqual(codes(heard()), ['slow']);
  });

  it('cuts a client that is silent, and not one that asks', async () => {
    listen({ idle: 300 });
    const silent = await client();
    const asking = await client();
    const timer = setInterval(() => asking.socket.write(STATUS), 50);
    await until(silent.isOver);
    await delay(200);
    clearInterval(timer);
    assert.deepEqual(codes(silent.heard()), ['idle']);
    assert.equal(asking.isOver(), false);
  });

  it('keeps nothing for a client that does not read', async () => {
    commands.add('long', () => 'x'.repeat(1 << 20));
    listen({ read: 200 });
    const { socket, isOver } = await client();
    socket.pause();
    for (let n = 0; n < 20; n++) socket.write('{"version":1,"command":"long"}\n');
    await delay(400);
    socket.resume();
    await until(isOver);
  });

  it('has room for so many clients, says so to the next, and has room again', async () => {
    listen();
    const clients = [];
    for (let n = 0; n < MAX_CLIENTS; n++) clients.push(await client());
    const next = await client();
    await until(next.isOver);
    assert.deepEqual(codes(next.heard()), ['busy']);
    clients[0]!.socket.destroy();
    next.socket.destroy();
    // Those of the listener, and two for each of the others.
    await until(() => openDescriptors() <= opened + 2 + 2 * (MAX_CLIENTS - 1));
    const last = await client();
    last.socket.write(STATUS);
    await until(() => last.heard().endsWith('\n'));
    assert.deepEqual(codes(last.heard()), ['ok']);
  });

  it('runs commands of a flood at its own pace, and another client is not forgotten', async () => {
    let count = 0;
    commands.add('count', () => ++count);
    listen({ pace: 20 });
    const flood = await client();
    flood.socket.write('{"version":1,"command":"count"}\n'.repeat(2000));
    const other = await client();
    const started = performance.now();
    other.socket.write(STATUS);
    await until(() => other.heard().endsWith('\n'));
    await delay(100);
    const most = (performance.now() - started) / 20 + 2;
    assert.ok(count <= most, `${count} commands, at most ${most}`);
    flood.socket.destroy();
    await delay(100);
    assert.ok(count < 2000);
  });

  it('is understood by the client of this project', async () => {
    listen();
    const asker = await ControlClient.connect(path);
    assert.deepEqual(await asker.ask('echo', { text: 'ä\n' }), { text: 'ä\n' });
    await assert.rejects(asker.ask('nothing'), /refuses nothing: there is no such command, only echo/);
    assert.deepEqual(await asker.ask('echo'), {});
    server.close();
    await assert.rejects(asker.ask('echo'), { code: 'ERR_PEER' });
    asker.close();
    await assert.rejects(ControlClient.connect(path), { code: 'ERR_SOCKET_CONNECT' });
  });
});
