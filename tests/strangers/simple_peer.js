'use strict'
// node simple_peer.js
// simple-peer over @roamhq/wrtc, trickle off: prints its complete offer and waits on stdin for
//   {"answer": {...}}   the answer to it
//   {"say": "text"}     a message to be sent
//   {"leave": true}     the end of the connection
// and prints what comes over the channel. Events are JSON lines, as those of tests/reference/peer.
const readline = require('readline')
const Peer = require('simple-peer')
const wrtc = require('@roamhq/wrtc')

const out = (event, fields) => console.log(JSON.stringify({ event, ...fields }))
const peer = new Peer({ initiator: true, trickle: false, wrtc })

peer.on('signal', offer => out('offer', { offer }))
peer.on('connect', () => out('connected', {}))
peer.on('data', data => out('message', { text: data.toString() }))
peer.on('error', error => out('fatal', { message: error.message }))

readline.createInterface({ input: process.stdin }).on('line', line => {
  const command = JSON.parse(line)
  if (command.answer) peer.signal(command.answer)
  if (command.say !== undefined) peer.send(command.say)
  if (command.leave) peer.destroy()
})
process.on('SIGTERM', () => process.exit(0))
