import assert from 'node:assert/strict'

export interface XmlElement {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
  readonly children: readonly XmlElement[]
  readonly text: string
}

const ENTITIES: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }

function unescape(text: string): string {
  assert.doesNotMatch(text, /[<\u0000-\u0008\u000b\u000c\u000e-\u001f]/, 'a character that XML forbids')
  return text.replace(/&(\w*;?)/g, (whole, entity: string) => {
    const char = ENTITIES[entity.slice(0, -1)]
    assert.ok(entity.endsWith(';') && char !== undefined, `not an entity: ${whole}`)
    return char
  })
}

/** Parses a document of elements, attributes and text alone; fails where it is not well-formed. */
export function parseXml(document: string): XmlElement {
  interface Open {
    readonly name: string
    readonly attributes: Record<string, string>
    readonly children: XmlElement[]
    text: string
  }
  const body = document.replace(/^<\?xml version="1\.0" encoding="UTF-8"\?>\n/, '')
  assert.notEqual(body, document, 'no XML declaration')
  const root: Open = { name: '', attributes: {}, children: [], text: '' }
  const stack = [root]
  const token = /<(\/?)([\w-]+)((?:\s+[\w-]+="[^"<]*")*)\s*(\/?)>|([^<]+)/gy
  let at = 0
  for (const match of body.matchAll(token)) {
    assert.equal(match.index, at, `not well-formed at: ${body.slice(at, at + 60)}`)
    at += match[0].length
    const [, closing, name, attributeText = '', selfClosing, text] = match
    const top = stack.at(-1)!
    if (text !== undefined) top.text += unescape(text)
    else if (closing) {
      assert.equal(name, top.name)
      stack.pop()
      stack.at(-1)!.children.push(top)
    } else {
      const attributes: Record<string, string> = {}
      for (const [, key, value] of attributeText.matchAll(/([\w-]+)="([^"]*)"/g)) {
        assert.ok(!(key! in attributes), `attribute ${key} comes twice`)
        attributes[key!] = unescape(value!)
      }
      const element: Open = { name: name!, attributes, children: [], text: '' }
      if (selfClosing) top.children.push(element)
      else stack.push(element)
    }
  }
  assert.equal(at, body.length, `not well-formed at: ${body.slice(at, at + 60)}`)
  assert.equal(stack.length, 1, 'an element is not closed')
  assert.equal(root.children.length, 1)
  return root.children[0]!
}
