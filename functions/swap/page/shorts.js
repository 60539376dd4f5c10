// A short video: script, look, voice, music; its plan; its progress; the video.
export class ShortPanel {
  constructor(fields) { this.fields = fields; }
  async start() {}
}
