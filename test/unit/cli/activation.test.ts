import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { boundPath, listeningDescriptors } from '../../../src/cli/activation.js';

describe('cli/activation', () => {
  it('takes descriptors that are meant for this process, and clears the variables', () => {
    const env: NodeJS.ProcessEnv = { LISTEN_PID: '42', LISTEN_FDS: '2', LISTEN_FDNAMES: 'a:b', HOME: '/' };
    assert.deepEqual(listeningDescriptors(env, 42), [3, 4]);
    assert.deepEqual(env, { HOME: '/' });
  });

  it('takes none that are meant for another process, or make no sense', () => {
    const rows = [
      {},
      { LISTEN_FDS: '1' },
      { LISTEN_PID: '41', LISTEN_FDS: '1' },
      { LISTEN_PID: '42', LISTEN_FDS: 'x' },
    ];
    for (const env of [
      ...rows,
      { LISTEN_PID: '42', LISTEN_FDS: '-1' },
      { LISTEN_PID: '42', LISTEN_FDS: '1e9' },
    ])
      assert.deepEqual(listeningDescriptors({ ...env }, 42), []);
  });

  it('finds the path of a listening socket', async () => {
    const path = join(tmpdir(), `vmb-bound-${process.pid}.sock`);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const fd = (server as unknown as { _handle: { fd: number } })._handle.fd;
    assert.equal(boundPath(fd), path);
    await new Promise((resolve) => server.close(resolve));
    rmSync(path, { force: true });
    assert.equal(boundPath(9999), undefined);
  });
});
