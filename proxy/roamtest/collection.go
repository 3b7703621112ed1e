package roamtest

import (
	"cmp"
	"slices"
)

// object is a JSON object in the shape in which Roam shows it.
type object map[string]any

// with returns o with the fields of more added; o itself changes.
func (o object) with(more object) object {
	for k, v := range more {
		o[k] = v
	}
	return o
}

// text returns a field that holds a string, or "".
func (o object) text(name string) string { s, _ := o[name].(string); return s }

// collection holds the objects of one kind, oldest first. Each has a field "id".
type collection []object

func (c collection) index(id string) int {
	return slices.IndexFunc(c, func(o object) bool { return o.text("id") == id })
}

// find returns the object with this id, or nil.
func (c collection) find(id string) object {
	if i := c.index(id); i >= 0 {
		return c[i]
	}
	return nil
}

// remove deletes the object with this id and reports whether there was one.
func (c *collection) remove(id string) bool {
	i := c.index(id)
	if i >= 0 {
		*c = slices.Delete(*c, i, i+1)
	}
	return i >= 0
}

// where returns the objects whose field has this value.
func (c collection) where(field, value string) collection {
	return slices.DeleteFunc(slices.Clone(c), func(o object) bool { return cmp.Or(o.text(field), value) != value })
}
