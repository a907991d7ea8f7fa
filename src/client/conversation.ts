/** The steps of a front-end's requests to its back-end. The VMM transcript decides which steps run, in which order. */
import { NONE, struct, u32, u64, viewOf } from '../struct.js';
import {
  configHeader,
  FrontEndRequest,
  features as featureSet,
  HeaderFlags,
  Protocol,
  sharedMemoryConfig,
  Virtio,
  vringAddress,
  vringState,
} from '../vhost-user/protocol.js';
import type { ControlChannel } from './control-channel.js';
import { ProtocolError } from './driver-error.js';
import { type AnnouncedRegion, USER_ADDRESS_OFFSET } from './memfd-ram.js';
import { MemoryTable } from './memory-table.js';
import { requestName } from './request-names.js';
import type { RingLink } from './ring-link.js';
import type { RealizeStep, RingStep, StartStep, StopStep, VmmTranscript } from './vmm-transcripts.js';

/** Body of an acknowledgement, and of a request that carries one number. */
const number64 = struct({ value: u64 });
/** Body of a request with a descriptor for a queue: the queue index as a 64-bit word. */
const queueFd = struct({ index: u32, zero: u32 });

export interface ConversationOptions {
  readonly virtioFeatures: bigint;
  readonly protocolFeatures: bigint;
  readonly rings: readonly RingLink[];
  /** The memory to announce: RAM, and the mappings in SHM region 0 if the VMM announces them too. */
  regions(): readonly AnnouncedRegion[];
  /** Opens a new back-end channel and returns the descriptor of the back-end's end. */
  openChannel(): number;
  /** The back-end's end of the channel was sent, or the request failed: close `fd`. */
  channelSent(fd: number): void;
  dropChannel(): void;
}

export class Conversation {
  /** Virtio features that the back-end offers; `features`: the negotiated ones. */
  offered = 0n;
  features = 0n;
  /** Protocol features that both sides have. */
  protocol = 0n;
  offeredProtocol = 0n;
  queues = 0;
  /** Bytes of SHM region 0 as the back-end reports them; undefined: the VMM has not asked. */
  shmSize: number | undefined;
  readonly #control: ControlChannel;
  readonly #transcript: VmmTranscript;
  readonly #options: ConversationOptions;
  #memory: MemoryTable | undefined;
  #featuresSent: bigint | undefined;

  constructor(control: ControlChannel, transcript: VmmTranscript, options: ConversationOptions) {
    this.#control = control;
    this.#transcript = transcript;
    this.#options = options;
  }

  readonly realize: Readonly<Record<RealizeStep, () => Promise<void>>> = {
    features: async () => {
      this.offered = featureSet.get(
        viewOf(await this.ask(FrontEndRequest.GET_FEATURES, NONE, featureSet.size)),
        0,
      );
      this.features = this.offered & (this.#options.virtioFeatures | Virtio.PROTOCOL_FEATURES);
      if (!(this.features & Virtio.PROTOCOL_FEATURES))
        throw new ProtocolError('the back-end has no protocol features (bit 30)');
    },
    'protocol features': async () => {
      const answer = await this.ask(FrontEndRequest.GET_PROTOCOL_FEATURES, NONE, featureSet.size);
      this.offeredProtocol = featureSet.get(viewOf(answer), 0);
      this.protocol = this.offeredProtocol & this.#options.protocolFeatures;
      await this.tell(FrontEndRequest.SET_PROTOCOL_FEATURES, bits(this.protocol));
    },
    'queue number': async () => {
      if (!this.has(Protocol.MQ)) return;
      this.queues = number64.read(await this.ask(FrontEndRequest.GET_QUEUE_NUM, NONE, number64.size)).value;
    },
    'memory slots': async () => {
      if (this.has(Protocol.CONFIGURE_MEM_SLOTS))
        await this.ask(FrontEndRequest.GET_MAX_MEM_SLOTS, NONE, number64.size);
    },
    'back-end channel': () => this.#sendChannel(),
    owner: () => this.tell(FrontEndRequest.SET_OWNER, NONE),
    'call and error': async () => {
      for (const ring of this.#options.rings) {
        await this.tell(FrontEndRequest.SET_VRING_CALL, queueWord(ring), [ring.callFd]);
        await this.tell(FrontEndRequest.SET_VRING_ERR, queueWord(ring), [ring.errorFd]);
      }
    },
    'shared memory': async () => {
      if (!this.has(Protocol.SHMEM)) return;
      const answer = await this.ask(FrontEndRequest.GET_SHMEM_CONFIG, NONE, sharedMemoryConfig.size);
      const { count, sizes } = sharedMemoryConfig.read(answer);
      this.shmSize = count === 0 ? 0 : u64.get(viewOf(sizes), 0);
    },
  };

  readonly start: Readonly<Record<StartStep, () => Promise<void>>> = {
    owner: this.realize.owner,
    'back-end channel': this.realize['back-end channel'],
    features: async () => {
      if (!this.#transcript.repeatsFeatures && this.#featuresSent === this.features) return;
      this.#featuresSent = this.features;
      await this.tell(FrontEndRequest.SET_FEATURES, bits(this.features));
    },
    memory: () => this.announceMemory(),
    sizes: () => this.#eachRing(this.ring.num),
    rings: async () => {
      for (const ring of this.#options.rings)
        for (const step of this.#transcript.ring) await this.ring[step](ring);
    },
    enable: async () => {
      await this.#eachRing(this.ring.enable);
      // Without acknowledgements QEMU sends a request that has an answer: then the requests before it are processed.
      if (!this.has(Protocol.REPLY_ACK)) await this.ask(FrontEndRequest.GET_FEATURES, NONE, featureSet.size);
    },
    'call again': () => this.#eachRing(this.ring.call),
  };

  readonly ring: Readonly<Record<RingStep, (ring: RingLink) => Promise<void>>> = {
    num: (ring) => this.tell(FrontEndRequest.SET_VRING_NUM, stateOf(ring, driverOf(ring).size)),
    base: (ring) => {
      const bases = { returned: ring.base, zero: 0, available: driverOf(ring).availableIndex };
      return this.tell(FrontEndRequest.SET_VRING_BASE, stateOf(ring, bases[this.#transcript.base]));
    },
    address: (ring) => {
      const { descriptors, available, used } = driverOf(ring).places;
      const address = vringAddress.encode({
        index: ring.index,
        flags: 0,
        descriptors: descriptors + USER_ADDRESS_OFFSET,
        used: used + USER_ADDRESS_OFFSET,
        available: available + USER_ADDRESS_OFFSET,
        log: used,
      });
      return this.tell(FrontEndRequest.SET_VRING_ADDR, address);
    },
    kick: (ring) => {
      for (let i = 0; i < this.#transcript.initialKicks; i++) ring.kick();
      return this.tell(FrontEndRequest.SET_VRING_KICK, queueWord(ring), [ring.kickFd]);
    },
    call: (ring) => this.tell(FrontEndRequest.SET_VRING_CALL, queueWord(ring), [ring.callFd]),
    enable: (ring) => this.tell(FrontEndRequest.SET_VRING_ENABLE, stateOf(ring, 1)),
  };

  readonly stop: Readonly<Record<StopStep, () => Promise<void>>> = {
    disable: () => this.#eachRing((ring) => this.tell(FrontEndRequest.SET_VRING_ENABLE, stateOf(ring, 0))),
    'get base': () =>
      this.#eachRing(async (ring) => {
        const answer = await this.ask(FrontEndRequest.GET_VRING_BASE, stateOf(ring, 0), vringState.size);
        ring.base = vringState.read(answer).num;
      }),
    'drop back-end channel': async () => this.#options.dropChannel(),
  };

  /** Whether the protocol feature is negotiated. */
  has(feature: bigint): boolean {
    return (this.protocol & feature) !== 0n;
  }

  /** Announces the current memory regions to the back-end. */
  announceMemory(): Promise<void> {
    const slotwise = this.#transcript.slotwise && this.has(Protocol.CONFIGURE_MEM_SLOTS);
    this.#memory ??= new MemoryTable(slotwise, (...message) => this.tell(...message));
    return this.#memory.announce(this.#options.regions());
  }

  /** GET_CONFIG: `size` bytes of the configuration space at `offset`. ProtocolError if another range comes back. */
  async getConfig(offset: number, size: number): Promise<Buffer> {
    const body = Buffer.concat([configHeader.encode({ offset, size, flags: 0 }), Buffer.alloc(size)]);
    const answer = await this.ask(FrontEndRequest.GET_CONFIG, body, body.length);
    const echoed = configHeader.read(answer);
    if (echoed.offset !== offset || echoed.size !== size)
      throw new ProtocolError(`GET_CONFIG of ${size} bytes at ${offset} was answered for another range`);
    return answer.subarray(configHeader.size);
  }

  /** Sends a request that has its own answer. ProtocolError if the answer is not exactly `size` bytes. */
  async ask(request: number, body: Uint8Array, size: number): Promise<Buffer> {
    const answer = await this.#control.ask(request, body);
    if (answer.length !== size)
      throw new ProtocolError(`${requestName(request)}: an answer of ${answer.length} bytes, it has ${size}`);
    return answer;
  }

  /**
   * Sends a request that has no answer of its own. It waits for an acknowledgement if the VMM transcript asks for one
   * and REPLY_ACK is negotiated. ProtocolError if the back-end refuses the request.
   */
  async tell(request: number, body: Uint8Array, descriptors: readonly number[] = []): Promise<void> {
    const { needReply } = this.#transcript;
    const wanted = needReply === 'all' || needReply.has(request);
    if (!wanted || !this.has(Protocol.REPLY_ACK)) return this.#control.tell(request, body, descriptors);
    const answer = await this.#control.ask(request, body, descriptors, HeaderFlags.NEED_REPLY);
    if (answer.length !== number64.size || number64.read(answer).value !== 0)
      throw new ProtocolError(`${requestName(request)}: the back-end refused it`);
  }

  async #sendChannel(): Promise<void> {
    if (!this.has(Protocol.BACKEND_REQ)) return;
    const fd = this.#options.openChannel();
    try {
      await this.tell(FrontEndRequest.SET_BACKEND_REQ_FD, NONE, [fd]);
    } finally {
      this.#options.channelSent(fd);
    }
  }

  async #eachRing(step: (ring: RingLink) => Promise<void>): Promise<void> {
    for (const ring of this.#options.rings) await step(ring);
  }
}

function bits(value: bigint): Buffer {
  const body = Buffer.alloc(featureSet.size);
  body.writeBigUInt64LE(value);
  return body;
}

function stateOf(ring: RingLink, num: number): Buffer {
  return vringState.encode({ index: ring.index, num });
}

function queueWord(ring: RingLink): Buffer {
  return queueFd.encode({ index: ring.index, zero: 0 });
}

function driverOf(ring: RingLink) {
  if (!ring.driver) throw new Error(`queue ${ring.index} was never created`);
  return ring.driver;
}
