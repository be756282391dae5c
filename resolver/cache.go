package resolver

import (
	"container/list"
	"strings"
	"sync"
	"time"
)

const (
	defaultCacheSize = 4096
	maxCacheBytes    = 8 << 20 // a board has 512 MB, and an answer may have 64 KB
	entryBytes       = 300     // of an answer, beside its own
)

// A cache keeps the answers that were asked for last, until they are stale.
type cache struct {
	mu    sync.Mutex
	max   int
	bytes int
	gen   uint64 // grows with each flush: an answer from before is not kept
	byQ   map[question]*list.Element
	order *list.List // of *entry, last asked for in front
}

type entry struct {
	q     question
	reply reply
	until time.Time
}

func newCache(size int) *cache {
	return &cache{max: size, byQ: map[question]*list.Element{}, order: list.New()}
}

// get also returns the generation that put wants to know.
func (c *cache) get(q question) (rep reply, ok bool, gen uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.byQ[q]
	if el == nil {
		return reply{}, false, c.gen
	}
	e := el.Value.(*entry)
	left := time.Until(e.until)
	if left <= 0 {
		c.remove(el)
		return reply{}, false, c.gen
	}
	c.order.MoveToFront(el)
	rep = e.reply
	rep.ttl = left
	return rep, true, c.gen
}

func (c *cache) put(q question, rep reply, gen uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if gen != c.gen || c.max < 0 || rep.ttl <= 0 {
		return
	}
	if old := c.byQ[q]; old != nil {
		c.remove(old)
	}
	c.byQ[q] = c.order.PushFront(&entry{q, rep, time.Now().Add(rep.ttl)})
	c.bytes += entryBytes + rep.size
	for len(c.byQ) > c.max || c.bytes > maxCacheBytes {
		c.remove(c.order.Back())
	}
}

func (c *cache) remove(el *list.Element) {
	e := c.order.Remove(el).(*entry)
	delete(c.byQ, e.q)
	c.bytes -= entryBytes + e.reply.size
}

func (c *cache) flush(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gen++
	zone := strings.ToLower(strings.TrimSuffix(name, ".")) + "."
	for q, el := range c.byQ {
		if name == "" || under(q.name, zone) {
			c.remove(el)
		}
	}
}
