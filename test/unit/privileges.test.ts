/** Reading credentials from /proc, and deciding whether to drop privileges. Dropping them: test/addon and test/lab. */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { accessCure, credentialsOf, mustDrop } from '../../src/privileges.js';

const NONE = '0000000000000000';
const ALL = '000001ffffffffff';

interface Lines {
  uid?: string;
  gid?: string;
  groups?: string;
  inheritable?: string;
  permitted?: string;
  effective?: string;
  ambient?: string;
}

/** A text of proc_pid_status(5) with the lines that matter, in the kernel's order, and some other lines. */
function status({ uid = '0 0 0 0', gid = '0 0 0 0', groups = '', ...sets }: Lines): string {
  const { inheritable = NONE, permitted = NONE, effective = NONE, ambient = NONE } = sets;
  const tabs = (text: string) => text.replaceAll(' ', '\t');
  return `Name:\tnode
Uid:\t${tabs(uid)}
Gid:\t${tabs(gid)}
FDSize:\t64
Groups:\t${groups} 
NStgid:\t12
CapInh:\t${inheritable}
CapPrm:\t${permitted}
CapEff:\t${effective}
CapBnd:\t${ALL}
CapAmb:\t${ambient}
NoNewPrivs:\t1
Seccomp:\t0
`;
}

const root = { permitted: ALL, effective: ALL };
const confined = { uid: '65534 65534 65534 65534', gid: '44 44 44 44' };
const wanted = { uid: 65534, gid: 44 };

describe('privileges', () => {
  it('reads a thread’s credentials', () => {
    const read = credentialsOf(
      status({ uid: '1 2 3 4', gid: '5 6 7 8', groups: '9 10', permitted: '80', effective: '40' }),
    );
    assert.deepEqual(read, {
      uids: [1, 2, 3, 4],
      gids: [5, 6, 7, 8],
      groups: [9, 10],
      inheritable: 0n,
      permitted: 0x80n,
      effective: 0x40n,
      bounding: 0x1ffffffffffn,
      ambient: 0n,
      noNewPrivileges: true,
    });
    assert.deepEqual(credentialsOf(status({})).groups, []);
  });

  it('reads this process’s own', () => {
    const { uids, gids } = credentialsOf(readFileSync('/proc/self/status', 'latin1'));
    assert.deepEqual([uids[0], uids[1]], [process.getuid!(), process.geteuid!()]);
    assert.deepEqual([gids[0], gids[1]], [process.getgid!(), process.getegid!()]);
  });

  it('gives up what root has', () => {
    assert.equal(mustDrop(credentialsOf(status(root)), wanted), true);
  });

  it('has nothing to give up twice', () => {
    assert.equal(mustDrop(credentialsOf(status(confined)), wanted), false);
    assert.equal(mustDrop(credentialsOf(status({ ...confined, groups: '44' })), wanted), false);
  });

  it('user 0 without capabilities does not start anew for ever', () => {
    assert.equal(mustDrop(credentialsOf(status({ gid: '44 44 44 44' })), { uid: 0, gid: 44 }), false);
  });

  for (const [what, lines] of [
    ['an id that could be gone back to', { ...confined, uid: '65534 65534 0 65534' }],
    ['another group', { ...confined, gid: '44 44 44 0' }],
    ['a supplementary group', { ...confined, groups: '27 44' }],
    ['an inheritable capability', { ...confined, inheritable: '0000000000002000' }],
    ['an ambient capability', { ...confined, ambient: '0000000000002000' }],
    ['a permitted capability', { ...confined, permitted: '0000000000002000' }],
  ] as const) {
    it(`sees ${what}: more than was asked for`, () => {
      const able = { ...lines, permitted: ALL, effective: ALL };
      assert.equal(mustDrop(credentialsOf(status(able)), wanted), true);
      assert.throws(() => mustDrop(credentialsOf(status(lines)), wanted), {
        code: 'ERR_PRIVILEGES',
        message: /may not become user 65534 with group 44 only.*start as root/,
      });
    });
  }

  it('needs both capabilities to change user and group', () => {
    for (const effective of ['0000000000000040', '0000000000000080'])
      assert.throws(() => mustDrop(credentialsOf(status({ permitted: ALL, effective })), wanted), {
        code: 'ERR_PRIVILEGES',
      });
    assert.equal(mustDrop(credentialsOf(status({ effective: '00000000000000c0' })), wanted), true);
  });
});

describe('privileges: the cure for a node that may not be opened', () => {
  let folder: string;
  let node: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'vmb-cure-'));
    node = join(folder, 'video0');
    writeFileSync(node, '');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('is its group, where that one may read and write it', function () {
    if (process.getuid!() !== 0) {
      console.error(`SKIPPED: ${this.test!.fullTitle()}: only root gives files away`);
      this.skip();
    }
    chmodSync(node, 0o660);
    chownSync(node, 0, 4_000_000_000);
    assert.match(accessCure(node, [44]), /serve with `--group 4000000000`, or run as a member of it/);
    assert.match(accessCure(node, [44, 4_000_000_000]), /something else forbids it/);
  });

  it('is a rule for udev, where no group may, or root’s', () => {
    for (const mode of [0o600, 0o640]) {
      chmodSync(node, mode);
      assert.match(accessCure(node, [44]), /let a udev rule say GROUP="video", MODE="0660"/);
    }
  });

  it('is the group video, where nothing is known', () => {
    assert.match(accessCure(join(folder, 'nothing')), /group `video`/);
  });
});
