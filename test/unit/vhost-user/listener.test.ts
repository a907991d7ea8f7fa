/** Which processes may connect, on real sockets. */
import assert from 'node:assert/strict';
import { closeSync, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { native } from '../../../src/native.js';
import { isFailure, resultOf } from '../../../src/result.js';
import { Listener, type ListenerOptions, listenAt } from '../../../src/vhost-user/listener.js';
import { settle, until } from '../../support/until.js';
import { openDescriptors, withoutLog } from './support/vmm.js';

const uid = process.geteuid!();

describe('vhost-user listener', () => {
  withoutLog();
  let folder: string;
  let path: string;
  let before: number;
  let accepted: number[];
  let listener: Listener | undefined;

  const listen = (options: ListenerOptions, at: string | number = path) => {
    listener = new Listener(at, (fd) => accepted.push(fd), options);
  };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vmb-listener-'));
    path = join(folder, 'a.sock');
    before = openDescriptors();
    accepted = [];
  });
  afterEach(() => {
    listener?.close();
    for (const fd of accepted) closeSync(fd);
    assert.equal(openDescriptors(), before);
    rmSync(folder, { recursive: true });
  });

  it('lets everybody in who can connect', async () => {
    listen({});
    const client = native.connect(path);
    await until(() => accepted.length === 1);
    closeSync(client);
  });

  it('lets a user in that is named', async () => {
    listen({ allowUids: [uid + 1, uid] });
    const client = native.connect(path);
    await until(() => accepted.length === 1);
    closeSync(client);
  });

  it('closes the connection of any other at once, and listens on', async () => {
    listen({ allowUids: [uid + 1] });
    for (let round = 0; round < 50; round++) {
      const client = native.connect(path);
      await until(() => {
        const got = resultOf(native.receive(client, Buffer.alloc(1)));
        return !isFailure(got) && got.length === 0;
      });
      closeSync(client);
    }
    assert.deepEqual(accepted, []);
  });

  it('makes the file as it is told', () => {
    listen({ file: { mode: 0o640 } });
    assert.equal(statSync(path).mode & 0o777, 0o640);
  });

  it('takes over what listens already, with what waits there, and removes its file', async () => {
    const fd = listenAt(path, { mode: 0o660 });
    const client = native.connect(path);
    listen({ path }, fd);
    await until(() => accepted.length === 1);
    closeSync(client);
    listener!.close();
    assert.equal(existsSync(path), false);
    await settle();
  });

  it('leaves the file of a descriptor whose path it does not know', () => {
    const fd = listenAt(path);
    listen({}, fd);
    listener!.close();
    assert.equal(existsSync(path), true);
  });
});
