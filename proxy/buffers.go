package proxy

import "sync"

// chunkSize is how much is read from a socket at a time: large enough that a big
// result costs few system calls, small enough to be taken for each statement.
const chunkSize = 32 << 10

type chunk [chunkSize]byte

var chunks = sync.Pool{New: func() any { return new(chunk) }}

func getChunk() *chunk  { return chunks.Get().(*chunk) }
func putChunk(c *chunk) { chunks.Put(c) }
