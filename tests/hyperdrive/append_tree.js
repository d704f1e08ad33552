'use strict'
// node append_tree.js PEERS < {"entries": [hex...], "operations": [["put"|"del", path]...]}
// Applies the operations with the real append-tree to a feed that holds the entries already, and
// prints all entries and, for each version, every path with whether it has a value of its own.
const path = require('path')
const need = require('module').createRequire(path.join(path.resolve(process.argv[2]), 'common.js'))
const appendTree = need('append-tree')
const { Stat } = need('hyperdrive/lib/messages')
const p = fn => new Promise((resolve, reject) => fn((err, v) => err ? reject(err) : resolve(v)))

class Feed {
  constructor (blocks) { this.blocks = blocks }
  get length () { return this.blocks.length }
  ready (cb) { process.nextTick(cb, null) }
  has (i) { return i < this.blocks.length }
  append (block, cb) { this.blocks.push(block); process.nextTick(cb, null) }
  get (i, opts, cb) { process.nextTick(cb, null, this.blocks[i]) }
}

async function walk (tree, dir, found) {
  const names = await p(cb => tree.list(dir, cb)).catch(() => [])
  for (const name of names) {
    const full = path.posix.join(dir, name)
    const live = await p(cb => tree.get(full, cb)).then(() => true, () => false)
    found[full] = live
    await walk(tree, full, found)
  }
  return found
}

async function main () {
  const input = JSON.parse(require('fs').readFileSync(0))
  const feed = new Feed([Buffer.from('header'), ...input.entries.map(e => Buffer.from(e, 'hex'))])
  const tree = appendTree(feed, { offset: 1, valueEncoding: Stat })
  for (const [op, name] of input.operations) {
    if (op === 'put') await p(cb => tree.put(name, { mode: 0o100644 }, cb))
    else await p(cb => tree.del(name, cb))
  }
  const versions = []
  for (let v = 1; v < feed.length; v++) versions.push(await walk(tree.checkout(v), '/', {}))
  const entries = feed.blocks.slice(1).map(b => b.toString('hex'))
  process.stdout.write(JSON.stringify({ entries, versions }))
}

main().catch(err => { console.error(err); process.exit(1) })
