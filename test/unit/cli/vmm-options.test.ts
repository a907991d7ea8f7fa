import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { vmmOptions } from '../../../src/cli/vmm-options.js';

describe('cli/vmm-options', () => {
  it('prints the options of both VMMs for every pair', () => {
    const text = vmmOptions([
      { device: '/dev/video0', socket: { path: '/run/a.sock' } },
      { device: 7, socket: { path: '/run/b.sock' } },
    ]);
    assert.match(
      text,
      /^\/dev\/video0 is served on \/run\/a\.sock\ndescriptor 7 is served on \/run\/b\.sock\n/,
    );
    assert.match(
      text,
      /-m 4G -object memory-backend-memfd,id=vmb-memory,size=4G,share=on -machine memory-backend=vmb-memory/,
    );
    assert.match(
      text,
      /-chardev socket,id=vmb1,path=\/run\/b\.sock -device vhost-user-media-pci,chardev=vmb1,vectors=3\n/,
    );
    assert.match(text, /--vhost-user media,socket=\/run\/a\.sock\n/);
  });

  it('says what each device is, if that is known', () => {
    const socket = (path: string) => ({ socket: { path } });
    const pairs = [
      { device: '/dev/video0', ...socket('/run/a.sock') },
      { device: '/dev/deskcam', ...socket('/run/b.sock') },
    ];
    const text = vmmOptions(pairs, [undefined, 'whatever /dev/deskcam leads to']);
    assert.match(
      text,
      /on \/run\/a\.sock\n\/dev\/deskcam is served on .*\n {2}it is whatever \/dev\/deskcam leads to\n/,
    );
  });

  it('says it in one line, whatever the serial number of a device has in it', () => {
    const pair = { device: '/dev/video0', socket: { path: '/run/a.sock' } };
    const [first, second] = vmmOptions([pair], ['the device with serial number \x1b[2J\n1']).split('\n');
    assert.deepEqual(
      [first, second],
      ['/dev/video0 is served on /run/a.sock', '  it is the device with serial number ?[2J?1'],
    );
  });

  for (const path of [
    '/run/a b,c',
    "/run/it's",
    '/run/"$HOME" `id` $(id) \\',
    '/run/*?[a-z]{a,b}~',
    '/run/!!;&|<>()#%^=+@:',
    '/run/\t\n',
    "/run/''",
    '/run/カメラ é',
  ])
    it(`prints words that a shell reads as they are meant: ${JSON.stringify(path)}`, () => {
      const lines = vmmOptions([{ device: 'd', socket: { path } }]);
      const [, qemu = '', crosvm = ''] = /\n {2}(-chardev .*)\ncrosvm:\n {2}(.*)\n$/s.exec(lines) ?? [];
      const words = (line: string) =>
        spawnSync('sh', ['-c', `printf '%s\\0' ${line}`], { encoding: 'utf8' })
          .stdout.split('\0')
          .slice(0, -1);
      const chardev = `socket,id=vmb0,path=${path.replaceAll(',', ',,')}`;
      const device = 'vhost-user-media-pci,chardev=vmb0,vectors=3';
      assert.deepEqual(words(qemu), ['-chardev', chardev, '-device', device]);
      assert.deepEqual(words(crosvm), ['--vhost-user', `media,socket=${path}`]);
    });

  it('makes a path absolute', () => {
    const text = vmmOptions([{ device: 'd', socket: { path: 'a' } }]);
    assert.ok(text.includes(`-chardev socket,id=vmb0,path=${join(process.cwd(), 'a')} `), text);
  });

  it('says nothing where the VMM is connected already', () => {
    assert.equal(vmmOptions([{ device: 'd', socket: { connectedFd: 3 } }]), '');
  });
});
