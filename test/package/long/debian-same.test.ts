/** The Debian package is the same file each time that it is made of the same commit, and there is one for arm64 too. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { build, debianPackage } from '../support/debian.js';
import { packed } from '../support/packed.js';

describe('package: Debian, made again', function () {
  this.timeout(900_000);

  it('is the same file', function () {
    const first = readFileSync(debianPackage(this));
    const second = readFileSync(build(packed(this).files, '0.1.0'));
    assert.ok(first.equals(second));
  });

  it('is there for the other kind of machine, with its addon and its sharp', function () {
    const [arch, cpu] = process.arch === 'x64' ? ['arm64', 'arm64'] : ['amd64', 'x64'];
    debianPackage(this);
    const path = build(packed(this).files, '0.1.0', arch);
    const field = execFileSync('dpkg-deb', ['--field', path, 'Architecture'], { encoding: 'utf8' });
    const contents = execFileSync('dpkg-deb', ['--contents', path], { encoding: 'utf8', maxBuffer: 1 << 26 });
    assert.equal(field.trim(), arch);
    assert.ok(contents.includes(`/prebuilds/linux-${cpu}/virtio_media_bridge.node`));
    assert.ok(contents.includes(`/@img/sharp-linux-${cpu}/`));
    assert.ok(!contents.includes(`/prebuilds/linux-${process.arch}/`));
  });
});
