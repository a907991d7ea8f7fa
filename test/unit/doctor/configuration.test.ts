/** What `doctor` finds of what a configuration names, on hosts that are made up: a folder as their file system. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { bytesText } from '../../../src/doctor/bytes.js';
import { capacityFindings, type NodeNeeds } from '../../../src/doctor/capacity.js';
import { absentFinding, faultFinding } from '../../../src/doctor/devices.js';
import type { Finding } from '../../../src/doctor/finding.js';
import { iommuFinding } from '../../../src/doctor/iommu.js';
import { limitOf } from '../../../src/doctor/limits.js';
import { socketFinding } from '../../../src/doctor/sockets.js';
import { assertHelpful } from './support/helpful.js';

describe('doctor with a configuration', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'vmb-doctor-'));
  });
  afterEach(() => rmSync(root, { recursive: true }));
  const put = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const GIB = 1 << 30;

  describe('limits', () => {
    const camera: NodeNeeds = {
      ...{ ownQueues: false, maxSessions: 128, maxBuffers: 64, sharedPages: false },
      ...{ sharedMemorySize: GIB, maxDeviceBytes: 4 * GIB },
    };
    const codec: NodeNeeds = { ...camera, ownQueues: true };
    const limits = (files: string, size = 'unlimited') =>
      put(
        'proc/self/limits',
        [
          'Limit                     Soft Limit           Hard Limit           Units     ',
          `Max file size             ${size.padEnd(20)} unlimited            bytes     `,
          `Max open files            ${files.padEnd(20)} 524288               files     `,
        ].join('\n'),
      );
    const memory = (kibibytes: number) =>
      put('proc/meminfo', `MemTotal:       ${kibibytes} kB\nMemFree: 1 kB\n`);
    const states = (findings: readonly Finding[]) => findings.map(({ state }) => state);
    const FINE = ['ok', 'ok', 'ok', 'ok'];

    it('are read from the row of the name, and not from one that begins like it', async () => {
      put(
        'proc/self/limits',
        'Max file size             7    9   bytes\nMax file locks            unlimited  unlimited  locks\n',
      );
      assert.equal(await limitOf(root, 'Max file size'), 7);
      assert.equal(await limitOf(root, 'Max file locks'), Number.POSITIVE_INFINITY);
      assert.equal(await limitOf(root, 'Max file'), null);
    });

    it('that cannot be seen are enough', async () => {
      assert.deepEqual(states(await capacityFindings(root, [codec])), FINE);
    });

    it('of no node: nothing is found', async () => {
      assert.deepEqual(await capacityFindings(root, []), []);
    });

    it('are enough for two cameras where they are not for a codec', async () => {
      limits('4096');
      put('proc/sys/vm/max_map_count', '10000\n');
      memory(16 << 20);
      assert.deepEqual(states(await capacityFindings(root, [camera, camera])), FINE);
      const findings = await capacityFindings(root, [codec]);
      assert.deepEqual(states(findings), ['warning', 'warning', 'ok', 'ok']);
      assert.match(findings[0]!.found, /may need 16640, a process may have 4096$/);
      assertHelpful(findings);
    });

    it('of mappings: --shared-pages needs many more', async () => {
      put('proc/sys/vm/max_map_count', '9000\n');
      const findings = await capacityFindings(root, [{ ...camera, sharedPages: true }]);
      assert.deepEqual(states(findings), ['ok', 'warning', 'ok', 'ok']);
    });

    it('of a file and of the memory of the host', async () => {
      limits('65536', '536870912');
      memory(6 << 20);
      const findings = await capacityFindings(root, [camera, camera]);
      assert.deepEqual(states(findings), ['ok', 'ok', 'warning', 'warning']);
      assert.match(findings[2]!.found, /needs 1 GiB, a file may have 512 MiB$/);
      assert.match(findings[3]!.found, /may take 8 GiB, the host has 6 GiB$/);
      assertHelpful(findings);
    });

    it('are said in the largest unit', () => {
      assert.deepEqual([0, 1, 1023, 1536, 2 ** 42].map(bytesText), [
        ...['0 bytes', '1 bytes', '1023 bytes', '1.5 KiB', '4 TiB'],
      ]);
    });
  });

  describe('the IOMMU', () => {
    const DEVICE = '/sys/devices/pci0000:00/0000:00:14.0/usb1/1-4/1-4:1.0';

    it('has the group of the host controller of a USB camera', async () => {
      mkdirSync(join(root, DEVICE), { recursive: true });
      symlinkSync(
        '../../../kernel/iommu_groups/7',
        join(root, '/sys/devices/pci0000:00/0000:00:14.0/iommu_group'),
      );
      const finding = await iommuFinding(root, '/dev/video0', DEVICE);
      assert.deepEqual([finding.what, finding.state], ['/dev/video0', 'ok']);
      assert.match(finding.found, /^IOMMU group 7: /);
    });

    it('has no group, or there is no device', async () => {
      mkdirSync(join(root, DEVICE), { recursive: true });
      assert.match((await iommuFinding(root, 'x', DEVICE)).found, /^no IOMMU group/);
      assert.match((await iommuFinding(root, 'x', '')).found, /^no device/);
    });
  });

  describe('a device that is not there', () => {
    const rule = (text: string) => put('etc/udev/rules.d/75-deskcam.rules', text);

    it('a number: no rule is looked for', async () => {
      assert.equal((await absentFinding(root, '/dev/video7')).found, 'does not exist');
    });

    it('a name that no rule gives: the command that prints one', async () => {
      rule('# SYMLINK+="deskcam"\nSYMLINK+="deskcamera"\n');
      const finding = await absentFinding(root, '/dev/deskcam');
      assert.match(finding.found, /no udev rule/);
      assert.match(finding.cure!, /virtio-media-bridge rules --name deskcam/);
      assertHelpful([finding]);
    });

    for (const [name, text] of [
      ['deskcam', 'SUBSYSTEM=="video4linux", SYMLINK+="other deskcam"'],
      ['codec3', 'SUBSYSTEM=="video4linux", SYMLINK+="codec%n"'],
    ] as const)
      it(`${name}, which a rule gives: the rule is named`, async () => {
        rule(`${text}\n`);
        const finding = await absentFinding(root, `/dev/${name}`);
        assert.match(finding.found, /although \/etc\/udev\/rules\.d\/75-deskcam\.rules gives this name$/);
        assertHelpful([finding]);
      });

    it('a file that is no node', async () => {
      put('dev/deskcam', '');
      assert.equal((await absentFinding(root, '/dev/deskcam')).found, 'is no V4L2 node');
    });
  });

  describe('a socket', () => {
    it('can be made, or is there', async () => {
      const path = join(root, 'a.sock');
      assert.equal((await socketFinding(path)).state, 'ok');
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(path, resolve));
      assert.match((await socketFinding(path)).found, /there already/);
      await new Promise((resolve) => server.close(resolve));
    });

    it('has no folder, a file for its folder, or a file in its place', async () => {
      put('file', '');
      const findings = await Promise.all(
        ['absent/a.sock', 'file/a.sock', 'file'].map((path) => socketFinding(join(root, path))),
      );
      assert.deepEqual(
        findings.map(({ found }) => found.replace(root, '')),
        ['the folder /absent does not exist', 'the folder /file is none', 'is a file that is no socket'],
      );
      assert.ok(findings.every(({ state }) => state === 'failure'));
      assertHelpful(findings);
    });
  });

  it('a fault of the file has what was meant as its cure', () => {
    const findings = [
      faultFinding('c.yaml:4:5', 'there is no key mmpa: did you mean mmap?'),
      faultFinding('c.yaml:4:5', 'socket-path is missing'),
    ];
    assert.equal(findings[0]!.cure, 'did you mean mmap?');
    assertHelpful(findings);
  });
});
