/** Layout of the split virtqueue in guest memory. VIRTIO 1.4, 2.7. */

/** VIRTIO 1.4, 2.7: a power of two, at most this. */
export const MAX_QUEUE_SIZE = 32768;

/** VIRTIO 1.4, 2.7.5: struct virtq_desc. */
export const Descriptor = {
  SIZE: 16,
  ADDRESS: 0,
  LENGTH: 8,
  FLAGS: 12,
  NEXT: 14,
} as const;

/** VIRTIO 1.4, 2.7.5: VIRTQ_DESC_F_*. */
export const DescriptorFlags = { NEXT: 1, WRITE: 2, INDIRECT: 4 } as const;

/** VIRTIO 1.4, 2.7.6: struct virtq_avail in 16-bit words: flags, idx, ring[size], used_event. */
export const Available = { FLAGS: 0, INDEX: 1, RING: 2 } as const;

/** VIRTIO 1.4, 2.7.8: struct virtq_used in 16-bit words: flags, idx, ring[size] of four words, avail_event. */
export const Used = { FLAGS: 0, INDEX: 1, RING: 2, WORDS_PER_ELEMENT: 4 } as const;

/** VIRTQ_AVAIL_F_NO_INTERRUPT: the driver wants no used buffer notifications. */
export const AVAIL_F_NO_INTERRUPT = 1;
/** VIRTQ_USED_F_NO_NOTIFY: the device wants no available buffer notifications. */
export const USED_F_NO_NOTIFY = 1;

/** VIRTIO 1.4, 2.7: the alignment of each part, in bytes. */
export const Alignment = { DESCRIPTORS: 16, AVAILABLE: 2, USED: 4 } as const;

/** Bytes of each part. The event words exist only if VIRTIO_F_EVENT_IDX was negotiated. */
export const ringBytes = {
  descriptors: (size: number) => Descriptor.SIZE * size,
  available: (size: number, eventIdx: boolean) => 4 + 2 * size + (eventIdx ? 2 : 0),
  used: (size: number, eventIdx: boolean) => 4 + 8 * size + (eventIdx ? 2 : 0),
} as const;

/** Index of avail.used_event, in 16-bit words of the available ring. */
export const usedEventWord = (size: number) => Available.RING + size;

/** Index of used.avail_event, in 16-bit words of the used ring. */
export const availEventWord = (size: number) => Used.RING + Used.WORDS_PER_ELEMENT * size;

/** Whether `size` is a power of two of at most MAX_QUEUE_SIZE. */
export const isQueueSize = (size: number) =>
  Number.isInteger(size) && size > 0 && size <= MAX_QUEUE_SIZE && (size & (size - 1)) === 0;
