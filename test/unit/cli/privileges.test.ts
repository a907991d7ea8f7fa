/** Names and numbers of the command line become ids, with a user database that is made for the test. */
import assert from 'node:assert/strict';
import { type PrivilegeFlags, privilegesOf, sameProgram } from '../../../src/cli/privileges.js';
import type { ServePair } from '../../../src/daemon.js';
import type { Accounts } from '../../../src/privileges.js';

const users: Readonly<Record<string, [uid: number, gid: number]>> = { camera: [990, 991], qemu: [107, 36] };
const groups: Readonly<Record<string, number>> = { video: 44, kvm: 36 };
const accounts: Accounts = {
  user: (which) => {
    const found = Object.entries(users).find(([name, [uid]]) => which === name || which === uid);
    return found && { name: found[0], uid: found[1][0], gid: found[1][1] };
  },
  group: (which) => {
    const found = Object.entries(groups).find(([name, gid]) => which === name || which === gid);
    return found && { name: found[0], gid: found[1] };
  },
};

const atPath: ServePair[] = [{ device: '/dev/video0', socket: { path: '/run/a.sock' } }];
const activated: ServePair[] = [{ device: '/dev/video0', socket: { listeningFd: 3 } }];
const connected: ServePair[] = [{ device: '/dev/video0', socket: { connectedFd: 3 } }];

const none = {
  user: undefined,
  group: undefined,
  socketUser: undefined,
  socketGroup: undefined,
  socketMode: undefined,
  allowUid: [],
};
const privileges = (flags: Partial<PrivilegeFlags>, pairs = atPath, uid = 0) =>
  privilegesOf({ ...none, ...flags }, pairs, uid, accounts);
const usage = (message: RegExp) => ({ code: 'ERR_USAGE', message });

describe('cli/privileges', () => {
  it('changes nothing unless asked', () => {
    for (const pairs of [atPath, activated, connected])
      assert.deepEqual(privileges({}, pairs), { serve: {} });
  });

  it('finds user and group by name or number; the user’s own group unless told', () => {
    const identity = (flags: Partial<PrivilegeFlags>, uid = 0) => privileges(flags, activated, uid).identity;
    assert.deepEqual(identity({ user: 'camera', group: 'video' }), { uid: 990, gid: 44 });
    assert.deepEqual(identity({ user: '5', group: '6' }), { uid: 5, gid: 6 });
    assert.deepEqual(identity({ user: 'camera' }), { uid: 990, gid: 991 });
    assert.deepEqual(identity({ user: '990' }), { uid: 990, gid: 991 });
    assert.deepEqual(identity({ group: 'video' }), { uid: 0, gid: 44 });
    assert.deepEqual(identity({ group: 'video' }, 1000), { uid: 1000, gid: 44 });
    assert.deepEqual(identity({ user: '4294967294', group: '0' }), { uid: 4294967294, gid: 0 });
  });

  for (const [flags, message] of [
    [{ user: 'nobody-here' }, /--user nobody-here: there is no such user/],
    [{ user: '' }, /--user : there is no such user/],
    [{ user: '4294967295' }, /there is no such user/],
    [{ user: '-1' }, /there is no such user/],
    [{ user: 'video' }, /there is no such user/],
    [{ user: 'camera', group: 'cinema' }, /--group cinema: there is no such group/],
    [{ user: '4711' }, /--user 4711 has no entry .* name one with --group/],
    [{ socketGroup: 'cinema' }, /--socket-group cinema: there is no such group/],
    [{ socketUser: 'ghost' }, /--socket-user ghost: there is no such user/],
    [{ allowUid: ['qemu', 'ghost'] }, /--allow-uid ghost: there is no such user/],
  ] as const)
    it(`refuses ${JSON.stringify(flags)}`, () => assert.throws(() => privileges(flags), usage(message)));

  it('gives the socket to the user that the process becomes, and to nobody else', () => {
    const file = (flags: Partial<PrivilegeFlags>) => privileges(flags).serve.socketFile;
    assert.deepEqual(file({ user: 'camera', group: 'video' }), { mode: 0o600, uid: 990 });
    assert.deepEqual(file({ user: 'camera', socketUser: 'qemu' }), { mode: 0o600, uid: 107 });
    assert.deepEqual(file({ socketGroup: 'kvm' }), { mode: 0o660, gid: 36 });
    assert.deepEqual(file({ user: 'camera', socketGroup: 'kvm', socketMode: '600' }), {
      mode: 0o600,
      uid: 990,
      gid: 36,
    });
    assert.deepEqual(file({ socketMode: '0660' }), { mode: 0o660 });
    assert.equal(file({ group: 'video' }), undefined);
  });

  for (const socketMode of ['', '66', '0x1ff', '888', '1777', '00660', 'rw', '4600', '-600', '600 '])
    it(`refuses --socket-mode ${JSON.stringify(socketMode)}`, () =>
      assert.throws(() => privileges({ socketMode }), usage(/three octal digits/)));

  it('refuses to change a socket that somebody else made', () => {
    for (const flags of [{ socketMode: '0660' }, { socketUser: 'qemu' }, { socketGroup: 'kvm' }])
      for (const pairs of [activated, connected])
        assert.throws(() => privileges(flags, pairs), usage(/for sockets of --socket-path only/));
  });

  it('knows who may connect, by name or number', () => {
    for (const pairs of [atPath, activated])
      assert.deepEqual(privileges({ allowUid: ['qemu', '0', '1000'] }, pairs).serve, {
        allowUids: [107, 0, 1000],
      });
    assert.throws(() => privileges({ allowUid: ['0'] }, connected), usage(/--allow-uid and --fd exclude/));
  });

  it('starts the same program with every descriptor that it was given, and the new sockets', () => {
    const pairs: ServePair[] = [
      { device: 9, socket: { path: '/run/a.sock' } },
      { device: '/dev/video1', socket: { path: '/run/b.sock' } },
    ];
    const program = sameProgram({ pairs }, [20, 21], { A: 'b' });
    assert.equal(program.path, process.execPath);
    assert.deepEqual(program.inherited, [9, 20, 21]);
    assert.deepEqual(program.argv.slice(-4), ['--listening-fd', '20', '--listening-fd', '21']);
    assert.deepEqual(program.argv.slice(0, -4), [
      process.argv0,
      ...process.execArgv,
      ...process.argv.slice(1),
    ]);
    assert.deepEqual(program.environment, { A: 'b' });
    assert.deepEqual(program.reads, [process.argv[1]]);
    assert.deepEqual(sameProgram({ pairs: activated }, [], {}).inherited, [3]);
    assert.deepEqual(sameProgram({ pairs: connected }, [], {}).inherited, [3]);
  });
});
