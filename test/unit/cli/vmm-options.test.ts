import assert from 'node:assert/strict';
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

  it('makes a path absolute, doubles commas for QEMU and quotes for the shell', () => {
    const text = vmmOptions([{ device: 'd', socket: { path: "a b,c'd" } }]);
    const path = join(process.cwd(), "a b,,c'\\''d");
    assert.ok(text.includes(`-chardev 'socket,id=vmb0,path=${path}' `), text);
  });

  it('says nothing where the VMM is connected already', () => {
    assert.equal(vmmOptions([{ device: 'd', socket: { connectedFd: 3 } }]), '');
  });
});
