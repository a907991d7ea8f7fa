/** A fake of the lane's `join` call. It unpacks the pieces and really joins them, at once. */
import { type NodeCall, native } from '../../../../src/native.js';
import { isFailure, resultOf } from '../../../../src/result.js';

export function joinPieces(call: NodeCall & { kind: 'join' }): number {
  const { buffer, byteOffset, byteLength } = call.pieces;
  const raw = Buffer.from(buffer, byteOffset, byteLength);
  const pieces = Array.from({ length: byteLength / 16 }, (_, n) => ({
    region: call.regions[raw.readUInt32LE(16 * n + 12)]!,
    offset: Number(raw.readBigUInt64LE(16 * n)),
    length: raw.readUInt32LE(16 * n + 8),
  }));
  const mapping = resultOf(native.linearMapping(pieces));
  if (isFailure(mapping)) return mapping.errno;
  call.mapping = mapping;
  return 0;
}
