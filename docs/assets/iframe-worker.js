// Search where the pages are opened as files. Browsers start no worker from a file, so its script runs in a hidden frame.
if (location.protocol === "file:") {
  window.IFrameWorker = window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.addEventListener("load", () => {
        this.ready = true;
        this.waiting.splice(0).forEach((data) => this.postMessage(data));
      });
      const script = new URL(url, location.href).href;
      this.frame.srcdoc =
        "<!doctype html><script>self.postMessage = (data) => frameElement.worker.answer(data);<\/script>" +
        `<script src="${script}"><\/script>`;
      this.frame.worker = this;
      document.body.append(this.frame);
    }
    postMessage(data) {
      if (!this.ready) {
        this.waiting.push(data);
        return;
      }
      const frame = this.frame.contentWindow;
      frame.dispatchEvent(new frame.MessageEvent("message", { data }));
    }
    answer(data) {
      this.dispatchEvent(new MessageEvent("message", { data }));
    }
    terminate() {
      this.frame.remove();
    }
  };
}
