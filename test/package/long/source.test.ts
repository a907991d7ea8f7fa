/** Where no prebuilt addon loads, the package builds its own; and a fresh clone can be packed. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readElf } from '../support/elf.js';
import { ROOT, SERVE, WHICH } from '../support/installed.js';
import { fetched } from '../support/npm.js';
import { packed, packedInClone } from '../support/packed.js';
import { SharedFolder } from '../support/root.js';
import { tooNew } from '../support/symbol-versions.js';

describe('package: from source', function () {
  this.timeout(900_000);

  it('builds the addon with what the system has, and prefers it', function () {
    const shared = new SharedFolder('lab');
    const tarball = shared.put(packed(this).tarball);
    const npm = shared.put(fetched(this, 'npms', 'npm', '10.8.2'), 'npm');
    const outcomes = shared.run(`
      mkdir -p /opt/bin
      ln -s ${npm}/bin/npm-cli.js /opt/bin/npm
      export PATH=/opt/bin:$PATH
      note install npm install --global --prefix /usr/local --cache /mnt/cache --no-audit --no-fund ${tarball}
      echo 'of another C library' > ${ROOT}/prebuilds/linux-${process.arch}/virtio_media_bridge.node
      note build npm --prefix ${ROOT} run build:addon
      cp ${ROOT}/build/Release/virtio_media_bridge.node /mnt/built.node
      user serve ${SERVE}
      user which ${WHICH}
    `);
    const { versions } = readElf(join(shared.path, 'built.node'));
    shared.remove();
    for (const name of ['install', 'build'])
      assert.equal(outcomes.get(name)!.status, 0, `${name}: ${outcomes.get(name)!.stderr}`);
    assert.match(outcomes.get('serve')!.stderr, /ENOTTY/);
    // So the package can also be packed with this compiler, which is younger than the C++ library that it needs.
    assert.deepEqual(tooNew(versions), []);
    assert.equal(outcomes.get('which')!.stdout.trim(), `${ROOT}/build/Release/virtio_media_bridge.node`);
  });

  it('is packed by a fresh clone, file by file the same', function () {
    assert.deepEqual(namesOf(packedInClone().files), namesOf(packed(this).files));
  });
});

const namesOf = (folder: string): string[] => (readdirSync(folder, { recursive: true }) as string[]).sort();
