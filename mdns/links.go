package mdns

import "time"

// scan looks for links, addresses and services that came or went.
func (s *server) scan() {
	list, err := s.o.Links()
	if err != nil {
		s.log.Debug("mdns: no list of networks", "err", err)
		return
	}
	now := map[int]Link{}
	for _, l := range list[:min(len(list), maxLinks)] {
		now[l.Index] = l
	}
	isNew := false
	for i, l := range now {
		if _, ok := s.links[i]; !ok && s.join(l) {
			isNew = true
		} else if !ok {
			delete(now, i) // tried again at the next scan
		}
	}
	for i := range s.links {
		if _, ok := now[i]; ok {
			continue
		}
		if s.phase == announced {
			s.multicast(i, gone(s.sets[i]), nil) // where it is still possible
		}
		for _, c := range s.conns {
			if c != nil {
				c.Leave(i) // it may be gone, which is as good
			}
		}
	}
	s.links = now
	s.update(isNew)
}

func (s *server) join(l Link) (ok bool) {
	for _, c := range s.conns {
		if c == nil {
			continue
		}
		if err := c.Join(l.Index); err == nil {
			ok = true
		} else {
			s.log.Debug("mdns: not joined", "link", l.Name, "err", err)
		}
	}
	return ok
}

// update makes known what has changed: what is new and ours alone is asked for
// first, what is no more is taken back.
func (s *server) update(isNew bool) {
	old := s.sets
	s.rebuild()
	if len(s.links) == 0 {
		s.phase, s.at, s.pending = idle, time.Time{}, nil
		s.setName("")
		return
	}
	changed := false
	for i, set := range s.sets {
		if s.phase == announced && !isNew {
			if lost := without(old[i], set); len(lost) > 0 {
				s.multicast(i, gone(lost), nil)
				changed = true
			}
		}
		fresh := without(set, old[i])
		changed = changed || len(fresh) > 0
		isNew = isNew || newNames(fresh, old[i])
	}
	switch {
	case s.phase == idle || isNew:
		s.probe(0)
	case s.phase == announced && changed:
		s.count, s.at = 0, time.Now()
	}
}

func (s *server) rebuild() {
	s.sets = map[int][]record{}
	services := s.o.Services()
	for i, l := range s.links {
		s.sets[i] = records(s.label(), l.Addrs, services[:min(len(services), maxServices)])
	}
}
