package store

import (
	"bytes"
	"math/rand/v2"
	"slices"
)

// An index lists one record, as most do: then it is known by its row and lone.
// Or it is a treap: a search tree in order of key that is kept balanced by
// chance, each node's weight being the greatest of its subtree (Seidel and
// Aragon, "Randomized search trees", 1996). Its depth is some twice the
// logarithm of what it lists. Indexes whose names have one hash are one.
type node struct {
	row         uint32
	weight      uint32
	left, right uint32 // nodes, or 0
}

const lone = 1 << 31

// listings appends the hashes of an entry's index names, each once: different
// names may share one.
func (t *table) listings(hashes []uint64, e entry) []uint64 {
	for name := range e.eachName {
		if h := t.hashBytes(name); !slices.Contains(hashes, h) {
			hashes = append(hashes, h)
		}
	}
	return hashes
}

// list enters a row in the index of h, in which it is not.
func (t *table) list(h uint64, row uint32) {
	root := t.indexes[h]
	if root == 0 {
		t.indexes[h] = row | lone
		return
	}
	if root&lone != 0 {
		root = t.node(root &^ lone)
	}
	id := t.node(row)
	t.indexes[h] = t.insert(root, id, t.keyAt(id))
}

func (t *table) node(row uint32) (id uint32) {
	id = t.nodes.take()
	*t.nodes.at(id) = node{row: row, weight: rand.Uint32()}
	return id
}

// unlist takes key out of the index of h, in which it is.
func (t *table) unlist(h uint64, key []byte) {
	if t.indexes[h]&lone != 0 {
		delete(t.indexes, h)
	} else if root := t.delete(t.indexes[h], key); root != 0 {
		t.indexes[h] = root
	} else {
		delete(t.indexes, h)
	}
}

// walk calls visit for the entries under name, in ascending order of key, from
// the first key after `after` on, until visit returns false.
func (t *table) walk(name, after string, visit func(entry) bool) {
	root := t.indexes[t.hash(name)]
	ofName := func(e entry) bool { return !e.lists(name) || visit(e) }
	if root&lone == 0 {
		t.walkFrom(root, after, ofName)
	} else if e := t.entry(root &^ lone); string(e.key()) > after {
		ofName(e)
	}
}

func (t *table) walkFrom(root uint32, after string, visit func(entry) bool) bool {
	if root == 0 {
		return true
	}
	n := t.nodes.at(root)
	if e := t.entry(n.row); string(e.key()) > after {
		if !t.walkFrom(n.left, after, visit) || !visit(e) {
			return false
		}
	}
	return t.walkFrom(n.right, after, visit)
}

// keyAt is the key of the record that a node lists.
func (t *table) keyAt(id uint32) []byte { return t.entry(t.nodes.at(id).row).key() }

// insert puts node id, whose key is not there, into the tree, and returns its
// new root.
func (t *table) insert(root, id uint32, key []byte) uint32 {
	if root == 0 {
		return id
	}
	n, one := t.nodes.at(root), t.nodes.at(id)
	switch {
	case one.weight > n.weight:
		one.left, one.right = t.split(root, key)
		return id
	case bytes.Compare(key, t.keyAt(root)) < 0:
		n.left = t.insert(n.left, id, key)
	default:
		n.right = t.insert(n.right, id, key)
	}
	return root
}

// split makes two trees of one: what comes before key, and what comes after it.
func (t *table) split(root uint32, key []byte) (before, after uint32) {
	if root == 0 {
		return 0, 0
	}
	n := t.nodes.at(root)
	if bytes.Compare(key, t.keyAt(root)) < 0 {
		before, n.left = t.split(n.left, key)
		return before, root
	}
	n.right, after = t.split(n.right, key)
	return root, after
}

// delete takes key out of the tree and returns its new root.
func (t *table) delete(root uint32, key []byte) uint32 {
	if root == 0 {
		return 0
	}
	n := t.nodes.at(root)
	switch order := bytes.Compare(key, t.keyAt(root)); {
	case order < 0:
		n.left = t.delete(n.left, key)
	case order > 0:
		n.right = t.delete(n.right, key)
	default:
		rest := t.merge(n.left, n.right)
		t.nodes.give(root)
		return rest
	}
	return root
}

// merge makes one tree of two, where all of the first comes before the second.
func (t *table) merge(before, after uint32) uint32 {
	if before == 0 || after == 0 {
		return before + after
	}
	b, a := t.nodes.at(before), t.nodes.at(after)
	if b.weight > a.weight {
		b.right = t.merge(b.right, after)
		return before
	}
	a.left = t.merge(before, a.left)
	return after
}
