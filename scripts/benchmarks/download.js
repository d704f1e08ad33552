'use strict'
// node download.js KEY PORT FOLDER: clones an archive over loopback and tells how long it took.
// From the dial to the last content block stored; NODE_PATH names the folder with the packages.
const net = require('net')
const hyperdrive = require('hyperdrive')

const [key, port, folder] = process.argv.slice(2)
const archive = hyperdrive(folder, Buffer.from(key, 'hex'))
archive.ready(() => {
  const began = process.hrtime.bigint()
  const cpu = process.cpuUsage()
  const socket = net.connect(Number(port), '127.0.0.1')
  socket.pipe(archive.replicate({ live: true })).pipe(socket)
  archive.metadata.update(() => archive.once('content', () => {
    archive.content.update(() => archive.content.download({ start: 0, end: archive.content.length }, err => {
      if (err) throw err
      const used = process.cpuUsage(cpu)
      console.log(JSON.stringify({
        event: 'done',
        seconds: Number(process.hrtime.bigint() - began) / 1e9,
        cpu_seconds: (used.user + used.system) / 1e6,
        blocks: archive.content.length
      }))
      process.exit(0)
    }))
  }))
})
