/** Implicit requests and request handles. The file is a fake that answers as the kernel's request API does. */
import assert from 'node:assert/strict';
import { closeSync, fstatSync, openSync } from 'node:fs';
import { Errno } from '../../../src/errno.js';
import { MAX_REQUEST_HANDLES } from '../../../src/media/policy.js';
import { ImplicitRequests, type SetControl } from '../../../src/media/queues/implicit-requests.js';
import { RequestHandles } from '../../../src/media/queues/request-handles.js';
import type { NodeCall } from '../../../src/native.js';
import { failure } from '../../../src/result.js';
import { success } from '../support/success.js';

const [ENOENT, EINVAL, EMFILE] = [2, 22, 24];
const MEDIA = 77;
type BufferCall = NodeCall & { kind: 'buffer' };
type ControlsCall = NodeCall & { kind: 'controls' };

class FakeFile {
  readonly calls: NodeCall[] = [];
  /** Errno by kind of call; 0 for all others. */
  readonly errnos = new Map<string, number>();
  onCall: () => void = () => undefined;

  call(call: NodeCall): number {
    this.calls.push(call);
    this.onCall();
    const errno = this.errnos.get(call.kind) ?? 0;
    if (call.kind === 'allocateRequest' && errno === 0) {
      assert.equal(call.media, MEDIA);
      call.request = openSync('/dev/null', 'r');
    }
    return errno;
  }

  kinds(): string[] {
    return this.calls.splice(0).map(({ kind }) => kind);
  }

  last<K extends NodeCall['kind']>(kind: K): NodeCall & { kind: K } {
    return this.calls.findLast((call) => call.kind === kind) as NodeCall & { kind: K };
  }
}

const qbuf = (index: number): BufferCall => {
  const buffer = Buffer.alloc(88);
  buffer.writeUInt32LE(index);
  return { kind: 'buffer', nr: 15, buffer };
};

/** struct v4l2_ext_control with a payload of one byte. */
function control(id: number, value: number): SetControl {
  const record = Buffer.alloc(20);
  record.writeUInt32LE(id);
  record.writeUInt32LE(1, 4);
  return { record, payload: Buffer.from([value]) };
}

describe('media requests that the bridge makes', () => {
  let file: FakeFile;
  let requests: ImplicitRequests;

  beforeEach(() => {
    file = new FakeFile();
    requests = new ImplicitRequests(file, { fd: MEDIA });
  });
  afterEach(() => requests.close());

  const values = () => {
    const { array, payloads } = file.last('controls') as ControlsCall;
    return payloads.map((payload, n) => [Buffer.from(array).readUInt32LE(20 * n), payload![0]]);
  };

  it('values first, then the buffer, then QUEUE, all with the same request', async () => {
    requests.remember([control(1, 10), control(2, 20)]);
    assert.equal(await requests.queue(0, qbuf(0)), 0);
    const named = file.calls.map((call) => ('request' in call ? call.request : undefined));
    assert.equal(new Set(named).size, 1);
    assert.deepEqual(values(), [
      [1, 10],
      [2, 20],
    ]);
    assert.deepEqual(file.kinds(), ['allocateRequest', 'controls', 'buffer', 'queueRequest']);
  });

  it('each request has every value that was set before it, each as it was set last', async () => {
    requests.remember([control(1, 10), control(1, 11)]);
    await requests.queue(0, qbuf(0));
    assert.deepEqual(values(), [[1, 11]]);
    requests.remember([control(2, 20)]);
    await requests.queue(1, qbuf(1));
    assert.deepEqual(values(), [
      [1, 11],
      [2, 20],
    ]);
    await requests.queue(2, qbuf(2));
    requests.remember([control(1, 12)]);
    await requests.queue(3, qbuf(3));
    assert.deepEqual(values(), [
      [1, 12],
      [2, 20],
    ]);
  });

  it('values that are set while the driver has frames are for later ones only: they are checked, and not set', async () => {
    assert.equal(requests.isDeferring, false);
    for (const index of [0, 1]) await requests.queue(index, qbuf(index));
    assert.equal(requests.isDeferring, true);
    requests.returned(0);
    assert.equal(requests.isDeferring, true);
    requests.returned(1);
    assert.equal(requests.isDeferring, false);
    await requests.queue(0, qbuf(0));
    requests.stopped();
    assert.equal(requests.isDeferring, false);
  });

  it('values outlive STREAMOFF, which loses the requests that had them, and end with the codec', async () => {
    const [H264, VP8] = [0x34363253, 0x46385056];
    requests.formatSet(H264);
    requests.remember([control(1, 10)]);
    await requests.queue(0, qbuf(0));
    requests.stopped();
    await requests.queue(0, qbuf(0));
    assert.deepEqual(values(), [[1, 10]]);
    requests.formatSet(H264);
    requests.stopped();
    await requests.queue(0, qbuf(0));
    assert.deepEqual(values(), [[1, 10]], 'a new size of the same codec');
    requests.stopped();
    file.kinds();
    requests.formatSet(VP8);
    await requests.queue(0, qbuf(0));
    assert.ok(!file.kinds().includes('controls'));
  });

  it('without any value there is none to set', async () => {
    await requests.queue(0, qbuf(0));
    assert.deepEqual(file.kinds(), ['allocateRequest', 'buffer', 'queueRequest']);
  });

  for (const kind of ['controls', 'buffer', 'queueRequest'] as const)
    it(`what ${kind} is refused with is the errno of QBUF; the request is empty again, the values wait`, async () => {
      requests.remember([control(1, 10)]);
      file.errnos.set(kind, ENOENT);
      assert.equal(await requests.queue(0, qbuf(0)), ENOENT);
      assert.equal(file.kinds().at(-1), 'reinitRequest');
      file.errnos.clear();
      assert.equal(await requests.queue(0, qbuf(0)), 0);
      assert.deepEqual(values(), [[1, 10]]);
      assert.ok(!file.kinds().includes('allocateRequest'), 'the same request is used again');
    });

  it('a request is used again when its OUTPUT buffer has come back, or all have', async () => {
    for (const index of [0, 1]) await requests.queue(index, qbuf(index));
    file.kinds();
    requests.returned(0);
    await requests.queue(0, qbuf(0));
    assert.deepEqual(file.kinds(), ['reinitRequest', 'buffer', 'queueRequest']);
    requests.stopped();
    for (const index of [0, 1]) await requests.queue(index, qbuf(index));
    assert.deepEqual(
      file.kinds().filter((kind) => kind === 'allocateRequest'),
      [],
    );
  });

  it('has an end: QBUF is EBUSY beyond 32', async () => {
    for (let index = 0; index < 32; index++) assert.equal(await requests.queue(index, qbuf(index)), 0);
    assert.equal(await requests.queue(32, qbuf(32)), Errno.EBUSY);
    requests.returned(7);
    assert.equal(await requests.queue(7, qbuf(7)), 0);
  });

  it('says what allocation is refused with', async () => {
    file.errnos.set('allocateRequest', EINVAL);
    assert.equal(await requests.queue(0, qbuf(0)), EINVAL);
    assert.deepEqual(file.kinds(), ['allocateRequest']);
  });
});

describe('request handles', () => {
  let file: FakeFile;
  let handles: RequestHandles;

  beforeEach(() => {
    file = new FakeFile();
    handles = new RequestHandles(file, { fd: MEDIA });
  });
  afterEach(() => handles.closeAll());

  it('count up, never twice, and stand for a descriptor that stays here', async () => {
    const first = success(await handles.allocate());
    const second = success(await handles.allocate());
    assert.deepEqual([first, second], [1, 2]);
    assert.notEqual(handles.find(first), handles.find(second));
    assert.equal(handles.close(first), 0);
    assert.equal(success(await handles.allocate()), 3);
    assert.equal(handles.find(first), undefined);
  });

  it('are run by their descriptor; one of nobody is EINVAL and reaches nobody', async () => {
    const handle = success(await handles.allocate());
    const request = handles.find(handle);
    file.errnos.set('queueRequest', ENOENT);
    assert.equal(await handles.queue(handle), ENOENT);
    assert.equal(await handles.reinit(handle), 0);
    assert.deepEqual(
      [file.last('queueRequest').request, file.last('reinitRequest').request],
      [request, request],
    );
    file.kinds();
    for (const none of [0, 2, 0xffff_ffff, request!])
      if (none !== handle)
        assert.deepEqual(
          [await handles.queue(none), await handles.reinit(none), handles.close(none)],
          [EINVAL, EINVAL, EINVAL],
        );
    assert.deepEqual(file.kinds(), []);
  });

  it('are at most 32 a session, and what allocation is refused with is said', async () => {
    for (let n = 0; n < MAX_REQUEST_HANDLES; n++) assert.ok(success(await handles.allocate()) > 0);
    assert.equal(await handles.allocate(), failure(EMFILE));
    handles.close(1);
    file.errnos.set('allocateRequest', EINVAL);
    assert.equal(await handles.allocate(), failure(EINVAL));
  });

  it('end with their session: no descriptor is left', async () => {
    const fds = [];
    for (let n = 0; n < 3; n++) fds.push(handles.find(success(await handles.allocate()))!);
    handles.closeAll();
    handles.closeAll();
    for (const fd of fds) assert.throws(() => closeSync(fd), { code: 'EBADF' });
  });

  it('that are still being made when their session ends leave no descriptor', async () => {
    const making = handles.allocate();
    handles.closeAll();
    assert.equal(await making, failure(Errno.EBADF));
    const { request } = file.last('allocateRequest');
    assert.throws(() => closeSync(request!), { code: 'EBADF' });
  });

  for (const [what, end] of [
    ['by the guest', (handle: number) => handles.close(handle)],
    ['with their session', () => handles.closeAll()],
  ] as const)
    it(`are closed on the lane, ${what}: the last descriptor takes the driver's locks`, async () => {
      const handle = success(await handles.allocate());
      const fd = handles.find(handle)!;
      file.kinds();
      // The lane duplicates the descriptor when it gets the call, so the descriptor must still be open then.
      let isOpen = false;
      file.onCall = () => {
        isOpen = fstatSync(fd).isCharacterDevice();
      };
      end(handle);
      assert.ok(isOpen);
      assert.equal(file.last('closeRequest').request, fd);
      assert.throws(() => closeSync(fd), { code: 'EBADF' });
    });
});
