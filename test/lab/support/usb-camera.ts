/** The USB camera of usb-camera/, plugged in for the kernel's own uvcvideo: its nodes, and its commands. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { eventually } from '../../addon/support/process.js';
import { provide, unload } from './kernel-modules.js';

const PROGRAM = '/checkout/build/usb-camera/usb-camera';
const UVCVIDEO = 'uvcvideo';
/** The host controller's module stays loaded, because it keeps no state that matters. */
const MODULES = ['vhci-hcd', UVCVIDEO];

/**
 * Seconds after which the kernel suspends a device that is plugged in from now on; negative: never. uvcvideo (7.3) may
 * wait for itself if a program asks it for an event while it suspends. Then every program that has the camera open waits.
 */
const AUTOSUSPEND = '/sys/module/usbcore/parameters/autosuspend';

let cameras = 0;

export class UsbCamera {
  /** /dev paths of the camera's node and of its metadata node. */
  node = '';
  metadata = '';
  #isPluggedIn = false;

  private constructor(
    private readonly process: ChildProcess,
    private readonly socket: string,
  ) {}

  /** Loads the drivers and plugs a camera in. Skips the suite of `context` if that is not possible. */
  static async plugIn(context: Mocha.Context): Promise<UsbCamera> {
    if (existsSync('/run/lab') && !existsSync(PROGRAM)) {
      console.error(`SKIPPED: there is no ${PROGRAM}: test/lab/usb-camera/build.sh makes it`);
      context.skip();
    }
    provide(context, ...MODULES);
    writeFileSync(AUTOSUSPEND, '-1');
    return UsbCamera.plugInBeside();
  }

  /** Loads the driver again, after it was unloaded. */
  static loadDriver(): void {
    execFileSync('modprobe', [UVCVIDEO]);
  }

  /** Plugs one more camera in; the drivers are loaded already. `options`: of the camera's program. */
  static async plugInBeside(...options: string[]): Promise<UsbCamera> {
    const socket = `/run/usb-camera-${cameras++}.sock`;
    const child = spawn(PROGRAM, ['serve', '--socket', socket, ...options], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const camera = new UsbCamera(child, socket);
    const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
    camera.#named(line);
    return camera;
  }

  /** Sends one of the commands of usb-camera/README.md and returns the answer. */
  async tell(command: string): Promise<string> {
    const socket = connect(this.socket);
    socket.write(`${command}\n`);
    return (await text(socket)).trim();
  }

  /** Ends every fault. */
  async heal(): Promise<void> {
    assert.equal(await this.tell('well'), 'ok');
  }

  /** Pulls the plug. Resolves when the nodes are gone. */
  async unplug(): Promise<void> {
    assert.equal(await this.tell('unplug'), 'ok');
    this.#isPluggedIn = false;
  }

  async replug(): Promise<void> {
    this.#named(await this.tell('replug'));
  }

  /** Lets the kernel suspend the camera as soon as nobody uses it. Resolves when it is suspended. */
  async fallAsleep(): Promise<void> {
    writeFileSync(`${this.#power}/autosuspend_delay_ms`, '0');
    writeFileSync(`${this.#power}/control`, 'auto');
    const status = () => readFileSync(`${this.#power}/runtime_status`, 'latin1').trim();
    assert.ok(await eventually(() => status() === 'suspended', 5000), `the camera is ${status()}`);
  }

  /** Tells the kernel never to suspend it again. */
  stayAwake(): void {
    writeFileSync(`${this.#power}/control`, 'on');
    writeFileSync(`${this.#power}/autosuspend_delay_ms`, '-1');
  }

  get #power(): string {
    const usbInterface = realpathSync(`/sys/class/video4linux/${basename(this.node)}/device`);
    return join(dirname(usbInterface), 'power');
  }

  /** Ends the camera and unloads its driver. */
  async end(): Promise<void> {
    await this.takeAway();
    unload(UVCVIDEO);
  }

  /** Ends the camera. Its driver stays loaded. */
  async takeAway(): Promise<void> {
    this.process.kill();
    await once(this.process, 'exit');
    // If it was pulled before, the path of its node may belong to another camera now.
    if (!this.#isPluggedIn) return;
    assert.ok(await eventually(() => !existsSync(this.node), 5000), `${this.node} outlives its camera`);
  }

  #named(line: string): void {
    const nodes = line.split(' ');
    assert.equal(nodes.length, 2, `the camera said "${line}"`);
    [this.node, this.metadata] = nodes as [string, string];
    this.#isPluggedIn = true;
  }
}
