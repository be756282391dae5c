package signin

import (
	"container/list"
	"iter"
)

// An lru is a map of bounded size that forgets what was not used for longest.
type lru[K comparable, V any] struct {
	most  int
	byKey map[K]*list.Element
	order *list.List // of *lruItem[K, V], latest first
}

type lruItem[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](most int) *lru[K, V] {
	return &lru[K, V]{most: most, byKey: make(map[K]*list.Element), order: list.New()}
}

// peek returns the value of k, nil if there is none. It counts as use.
func (l *lru[K, V]) peek(k K) *V {
	e, ok := l.byKey[k]
	if !ok {
		return nil
	}
	l.order.MoveToFront(e)
	return &e.Value.(*lruItem[K, V]).value
}

// get returns the value of k, a new one if there is none.
func (l *lru[K, V]) get(k K) *V {
	if v := l.peek(k); v != nil {
		return v
	}
	if l.order.Len() >= l.most {
		l.remove(l.order.Back().Value.(*lruItem[K, V]).key)
	}
	item := &lruItem[K, V]{key: k}
	l.byKey[k] = l.order.PushFront(item)
	return &item.value
}

func (l *lru[K, V]) remove(k K) {
	if e, ok := l.byKey[k]; ok {
		l.order.Remove(e)
		delete(l.byKey, k)
	}
}

// all goes over what is remembered, and counts as no use.
func (l *lru[K, V]) all() iter.Seq2[K, *V] {
	return func(yield func(K, *V) bool) {
		for e := l.order.Front(); e != nil; e = e.Next() {
			item := e.Value.(*lruItem[K, V])
			if !yield(item.key, &item.value) {
				return
			}
		}
	}
}
