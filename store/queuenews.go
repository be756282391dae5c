package store

import "sync"

// queueMailbox stands for the queue among what can be watched.
const queueMailbox = 1

// queueNews collects the domains whose schedule was changed by others than the
// queue, so that it need not look at all of them each time a message comes in.
type queueNews struct {
	mu      sync.Mutex
	domains map[string]struct{}
	lost    bool // some did not fit
}

// newsMax bounds the news while nobody takes them.
const newsMax = 10_000

// WatchQueue watches for messages that are new in the queue, or changed by the
// owner. QueueNews tells which.
func (s *Store) WatchQueue() *Watch { return s.watchers.add(watchKey{mailbox: queueMailbox}) }

// QueueNews returns the domains that messages are new for, or were changed for
// by the owner, since it was last called. Unless all is true: then some are
// left out, and QueueHeads has to be asked.
func (s *Store) QueueNews() (domains []string, all bool) {
	n := &s.queueNews
	n.mu.Lock()
	defer n.mu.Unlock()
	for d := range n.domains {
		domains = append(domains, d)
	}
	all = n.lost
	n.domains, n.lost = nil, false
	return domains, all
}

// tellQueue tells of domains after the commit that changed them.
func (s *Store) tellQueue(domains []string) {
	if len(domains) == 0 {
		return
	}
	n := &s.queueNews
	n.mu.Lock()
	for _, d := range domains {
		if n.domains == nil {
			n.domains = make(map[string]struct{})
		}
		if len(n.domains) < newsMax {
			n.domains[d] = struct{}{}
		} else {
			n.lost = true
		}
	}
	n.mu.Unlock()
	s.watchers.tell([]watchKey{{mailbox: queueMailbox}})
}
