/** What `serve --config` asks for, when the program has started itself again as another user. */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { askedOf } from '../../../src/cli/configured.js';
import { native } from '../../../src/native.js';

describe('cli/configured', () => {
  let folder: string;
  let file: string;
  const opened: number[] = [];
  const at = (name: string) => join(folder, `${name}.sock`);
  const listen = (name: string) => {
    const fd = native.listen(at(name));
    opened.push(fd);
    return fd;
  };
  const write = (...names: string[]) => {
    const nodes = names.map((name) => `{device: /dev/${name}, socket-path: ${at(name)}}`);
    writeFileSync(file, `vms:\n  desk:\n    nodes: [${nodes.join(', ')}]\n`);
  };
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vmb-configured-'));
    file = join(folder, 'config.yaml');
  });
  afterEach(() => {
    for (const fd of opened.splice(0)) closeSync(fd);
    rmSync(folder, { recursive: true });
  });

  it('gives each node the socket that listens at its path', () => {
    const [a, b] = [listen('a'), listen('b')];
    write('a', 'b');
    const { options } = askedOf({ config: file, 'listening-fd': [`${a}`, `${b}`] }, []);
    assert.deepEqual(
      options.pairs.map(({ device, socket, vm }) => ({ device, socket, vm })),
      [
        { device: '/dev/a', socket: { path: at('a'), listeningFd: a }, vm: 'desk' },
        { device: '/dev/b', socket: { path: at('b'), listeningFd: b }, vm: 'desk' },
      ],
    );
  });

  it('refuses a file that has other sockets since, more or fewer: a VM must not get the camera of another', () => {
    const fds = [`${listen('a')}`, `${listen('b')}`];
    for (const names of [['b', 'a'], ['a'], ['a', 'c'], ['a', 'b', 'c']]) {
      write(...names);
      assert.throws(() => askedOf({ config: file, 'listening-fd': fds }, []), {
        code: 'ERR_CONFIG',
        message: /config\.yaml has changed since this program started: start it again$/,
      });
    }
  });
});
