import assert from 'node:assert/strict';
import { type VmmOption, vmmTraitsOf } from '../../../src/vhost-user/vmm-traits.js';

const bits = (...numbers: number[]) => numbers.reduce((set, number) => set | (1n << BigInt(number)), 0n);

describe('VMM traits', () => {
  // MQ 0, REPLY_ACK 3, BACKEND_REQ 5, CONFIG 9, BACKEND_SEND_FD 10, CONFIGURE_MEM_SLOTS 15, SHMEM 22.
  const seen: [string, bigint, string][] = [
    ['QEMU 11.1', bits(0, 3, 5, 9, 10, 22), 'qemu'],
    ['QEMU 11.1 with memory slots', bits(0, 3, 5, 9, 10, 15, 22), 'qemu'],
    ['QEMU 11.0', bits(0, 3, 5, 9, 10, 15), 'qemu'],
    ['QEMU without REPLY_ACK', bits(0, 5, 9, 10, 22), 'qemu'],
    ['crosvm', bits(0, 3, 5, 9, 22), 'crosvm'],
    ['libkrun', bits(0, 5, 9, 22), 'libkrun'],
    ['libkrun before shared memory', bits(0, 9), 'unknown'],
    ['cloud-hypervisor', bits(0, 3, 5, 9, 15), 'cloud-hypervisor'],
    ['nothing', 0n, 'unknown'],
  ];
  for (const [what, protocol, name] of seen)
    it(`${what}: ${name}`, () => {
      const traits = vmmTraitsOf(protocol);
      assert.equal(traits.name, name);
      assert.equal(traits.acks, (protocol & 8n) !== 0n);
    });

  const properties: [VmmOption, boolean, string, boolean][] = [
    ['qemu', false, 'arena', false],
    ['crosvm', true, 'direct', false],
    ['libkrun', true, 'direct', true],
    ['cloud-hypervisor', false, 'arena', false],
  ];
  for (const [name, survivesReset, prefers, mapsZerosOnUnmap] of properties)
    it(`${name} by option, whatever was negotiated`, () => {
      for (const protocol of [0n, bits(3, 22), bits(3, 10, 22)]) {
        const acks = (protocol & 8n) !== 0n;
        const { onBackendExit, mappings, ...traits } = vmmTraitsOf(protocol, name);
        assert.deepEqual(traits, { name, survivesReset, prefers, mapsZerosOnUnmap, acks });
        assert.equal(mappings, name === 'qemu' ? 256 : Infinity);
        assert.ok(onBackendExit.running && onBackendExit.stopped);
      }
    });
});
