/** The command `probe`: connects like a VMM with a guest, reports what the bridge offers, and captures frames. */

import type { Argv, CommandModule } from 'yargs';
import { CameraError, NoFrames } from '../client/camera.js';
import { capture, isCamera } from '../client/capture.js';
import { CodecError, CodecStalled } from '../client/codec.js';
import { FormatRefused } from '../client/codec-formats.js';
import { CommandTimeout, Disconnected, DriverError, ProtocolError } from '../client/driver-error.js';
import { GuestDriver } from '../client/guest-driver.js';
import { PictureError } from '../client/picture.js';
import { ProgressLine } from '../client/progress-line.js';
import { type DamagedFrames, damagedChoices, Recording, recordingSuffixes } from '../client/recording.js';
import { sessionIoctl } from '../client/session-ioctl.js';
import type { MemoryKind } from '../client/video-queue.js';
import { Vmm } from '../client/vmm.js';
import { Errno } from '../errno.js';
import { controlsOf } from '../v4l2/controls.js';
import { queuesOf, type RunIoctl } from '../v4l2/enumeration.js';
import { Ioctl } from '../v4l2/ioctls.js';
import { capabilityWords } from '../v4l2/names.js';
import { Protocol, Virtio } from '../vhost-user/protocol.js';
import { OperatorError } from './exit.js';
import { outputOf } from './output.js';
import {
  DEFAULT_FRAMES,
  DEFAULT_TIMEOUT_S,
  type ProbeArguments,
  type ProbeOptions,
  probeOptionsOf,
} from './probe-options.js';
import { type ProbedCapture, type ProbeReport, reportText } from './probe-report.js';
import { closeFiles, type Files, openFiles, transcodeFile } from './transcode.js';

/** The guest memory: address and bytes. Pages that are not touched cost nothing. */
const RAM = [{ address: 0x4000_0000, length: 256 << 20 }];

const one = { type: 'string', nargs: 1 } as const;

export const probe: CommandModule<object, ProbeArguments> = {
  command: 'probe <socket>',
  describe: 'connect to a bridge as a VMM and its guest would, and capture a picture or run a codec',
  builder: (parser: Argv) =>
    parser
      .positional('socket', { type: 'string', demandOption: true, describe: 'the socket of a bridge' })
      .options({
        frames: { ...one, default: `${DEFAULT_FRAMES}`, describe: 'how many frames to capture; 0: only ask' },
        output: {
          ...one,
          describe: `file for the last frame, or all of them: ${recordingSuffixes.join(' ')}; with --transcode: any`,
        },
        damaged: {
          ...one,
          choices: damagedChoices,
          describe: 'damaged frames: left out of the file (skip, the default), or what they have (keep)',
        },
        transcode: {
          ...one,
          describe:
            'file of frames for a codec or converter: raw, FWHT or H.264 annex B; --output has the result',
        },
        format: {
          ...one,
          describe: 'FOURCC of the frames (--transcode: of those that go in), such as YUYV or MJPG',
        },
        size: { ...one, describe: 'size of the same frames, such as 1280x720' },
        timeout: {
          ...one,
          default: `${DEFAULT_TIMEOUT_S}`,
          describe: 'seconds to wait for each answer and frame',
        },
        json: { type: 'boolean', describe: 'print JSON: one object' },
      })
      .example('$0 probe /run/vmb/video0.sock --output picture.png', 'one look through the camera')
      .example(
        '$0 probe /run/vmb/video0.sock --transcode in.yuv --format YU12 --size 640x480 --output out.fwht',
        'a file through an encoder',
      ) as Argv<ProbeArguments>,
  handler: async (given) => {
    const options = probeOptionsOf(given);
    const report = await probeSocket(options).catch((error: unknown) => {
      throw operatorError(error, options);
    });
    console.log(outputOf(report, given.json, reportText));
    demandWholeFrame(report);
  },
};

function demandWholeFrame({ socket, capture }: ProbeReport): void {
  if (capture === null || capture.frames === 0 || capture.damaged < capture.frames) return;
  throw new OperatorError(
    'ERR_NO_FRAMES',
    `${socket}: all ${capture.frames} frames came damaged: try another cable or USB port, a smaller --size or another --format`,
  );
}

async function probeSocket(options: ProbeOptions): Promise<ProbeReport> {
  const { transcode, output = '' } = options;
  const files = transcode === undefined ? undefined : openFiles(transcode, output);
  try {
    return await probeBridge(options, files);
  } finally {
    if (files) closeFiles(files);
  }
}

async function probeBridge(options: ProbeOptions, files: Files | undefined): Promise<ProbeReport> {
  const { socket, timeout } = options;
  const frontEnd = await connect(socket, timeout);
  try {
    const driver = await GuestDriver.probe(frontEnd, { timeout });
    const { card, deviceCaps, deviceType } = await frontEnd.readConfig();
    const asked = await survey(driver, deviceCaps);
    const memory = frontEnd.sharedMemory.size > 0 ? 'mmap' : 'userptr';
    const transcode = files && (await transcodeFile(driver, deviceCaps, files, { ...options, memory }));
    const capture = files ? null : await captureFrames(frontEnd, driver, deviceCaps, { ...options, memory });
    driver.remove();
    return {
      socket,
      card,
      deviceType,
      capabilities: capabilityWords(deviceCaps),
      virtioFeatures: bitNames(guestFeatures, frontEnd.conversation.features),
      protocolFeatures: bitNames(Protocol, frontEnd.conversation.protocol),
      sharedMemory: frontEnd.sharedMemory.size,
      ...asked,
      capture,
      transcode: transcode ?? null,
    };
  } finally {
    frontEnd.close();
  }
}

async function connect(socket: string, timeout: number): Promise<Vmm> {
  try {
    return await Vmm.connect(socket, { ram: RAM, timeout });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (error instanceof Disconnected)
      throw new OperatorError(
        'ERR_SOCKET_IN_USE',
        `${socket} hung up at once: a bridge serves one VMM at a time, end the other one first`,
      );
    const cure = connectCures.get(code ?? '');
    throw cure ? new OperatorError('ERR_SOCKET_CONNECT', cure(socket)) : error;
  }
}

const nobody = (socket: string) =>
  `nobody serves ${socket}: start the bridge first, with serve --device /dev/video0 --socket-path ${socket}`;
/** The sentence for each error of connect(2). */
const connectCures: ReadonlyMap<string, (socket: string) => string> = new Map([
  ['ENOENT', nobody],
  ['ECONNREFUSED', nobody],
  ['ENOTSOCK', (socket) => `${socket} is no socket: give the one of serve --socket-path`],
  ['EACCES', (socket) => `${socket} may not be opened by this user: run probe as the user of the bridge`],
  ['ENAMETOOLONG', (socket) => `${socket} is too long for a socket: give a shorter path`],
]);

/** Ioctls that are not sent, because the report does not show their results and a camera may answer some slowly. */
const unasked: ReadonlySet<number> = new Set([Ioctl.ENUM_FRAMEINTERVALS, Ioctl.G_CTRL, Ioctl.QUERYMENU]);

/** The queues and controls that an application in the guest would see. */
async function survey(
  driver: GuestDriver,
  deviceCaps: number,
): Promise<Pick<ProbeReport, 'queues' | 'controls'>> {
  const sessionId = await driver.open();
  const askDevice = sessionIoctl(driver, sessionId);
  const ask: RunIoctl = async (nr, payload) => (unasked.has(nr) ? Errno.EINVAL : askDevice(nr, payload));
  const queues = await queuesOf(ask, deviceCaps, true);
  const controls = (await controlsOf(ask)).length;
  await driver.close(sessionId);
  return { queues, controls };
}

async function captureFrames(
  frontEnd: Vmm,
  driver: GuestDriver,
  deviceCaps: number,
  { frames, output, damaged, format, size, timeout, memory }: ProbeOptions & { memory: MemoryKind },
): Promise<ProbedCapture | null> {
  if (output !== undefined && !isCamera(deviceCaps))
    throw new OperatorError(
      'ERR_NODE_NOT_CAMERA',
      'the device is no camera, it delivers no frames by itself: leave --output out',
    );
  if (frames === 0 || !isCamera(deviceCaps)) return null;
  const recording = output === undefined ? undefined : recordingOf(output, damaged);
  const progress = new ProgressLine(process.stderr, `capturing ${frames} frames`);
  try {
    const wanted = { frames, format, size, memory, timeout, recording, progress } as const;
    const captured = await capture(driver, deviceCaps, wanted);
    const { mapped } = frontEnd.sharedMemory;
    return {
      ...captured,
      memory,
      mappings: mapped,
      output: output ?? null,
      outputBytes: recording?.bytes ?? 0,
    };
  } catch (error) {
    if (recording && recording.bytes > 0 && error instanceof Error)
      error.message += ` (${output} is not complete: it has the first ${recording.bytes} bytes)`;
    throw error;
  } finally {
    progress.end();
  }
}

function recordingOf(output: string, damaged: DamagedFrames): Recording {
  try {
    return new Recording(output, damaged);
  } catch (error) {
    throw new OperatorError('ERR_OUTPUT', `${output} cannot be written: ${(error as Error).message}`);
  }
}

/** Bit 30 is not a feature of the guest: only the VMM and the bridge use it. */
const { PROTOCOL_FEATURES: _, ...guestFeatures } = Virtio;

function bitNames(table: Readonly<Record<string, bigint>>, value: bigint): string[] {
  return Object.keys(table).filter((name) => (value & table[name]!) !== 0n);
}

/** Errors after the socket is open: class, code and cure. The first row whose class fits is used. */
const failures: readonly (readonly [kind: new (...of: never[]) => Error, code: string, cure: string])[] = [
  [NoFrames, 'ERR_NO_FRAMES', 'look at the camera, its cable and its privacy shutter'],
  [CameraError, 'ERR_NO_FRAMES', 'choose another --format, or none'],
  [CodecStalled, 'ERR_NO_FRAMES', 'is that a file that the device understands?'],
  [CodecError, 'ERR_NO_FRAMES', 'the log of the bridge may say more'],
  [FormatRefused, 'ERR_NO_FRAMES', 'choose another --format or --size'],
  [PictureError, 'ERR_OUTPUT', '--output frames.raw takes every format'],
  [CommandTimeout, 'ERR_PEER', 'the log of the bridge may say what the device waits for'],
  [ProtocolError, 'ERR_PEER', 'is that a virtio-media back-end?'],
  [Disconnected, 'ERR_PEER', 'the log of the bridge says why'],
];

/** The error for the operator: one sentence with the cure, and an ERR_ code. Other errors are returned as they are. */
function operatorError(error: unknown, { socket, output }: ProbeOptions): unknown {
  const { message, syscall } = error as NodeJS.ErrnoException;
  const [, code, cure] = failures.find(([kind]) => error instanceof kind) ?? [];
  if (code) return new OperatorError(code, `${socket}: ${message}: ${cure}`);
  if (error instanceof DriverError) return deviceError(error);
  // At this point, an error with `syscall` can only come from writing the output file.
  return syscall ? new OperatorError('ERR_OUTPUT', `${output} cannot be written: ${message}`) : error;
}

/** The sentence, with `what` failed, for the errnos of a device that say what has happened. */
const deviceErrors: ReadonlyMap<number, readonly [code: string, sentence: (what: string) => string]> =
  new Map([
    [
      Errno.EBUSY,
      [
        'ERR_NODE_BUSY',
        (what) => `${what}: the device is in use; the log of the bridge names who is known to have it`,
      ],
    ],
    [Errno.ENODEV, ['ERR_NODE', (what) => `the device was unplugged, or its driver gave it up: ${what}`]],
  ]);

function deviceError({ errno, message }: DriverError): OperatorError {
  const [code, sentence] = deviceErrors.get(errno) ?? ['ERR_NODE', (what) => `the device refused ${what}`];
  return new OperatorError(code, sentence(message));
}
