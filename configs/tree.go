package configs

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"time"
)

// member is one key of an object that keeps the order of the file format.
type member struct {
	key   string
	value any
}

type object []member

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// MarshalJSON gives the effective configuration with the keys of the YAML file,
// durations and sizes as text, and no secrets.
func (c Config) MarshalJSON() ([]byte, error) { return json.Marshal(tree(reflect.ValueOf(c))) }

// tree turns a part of a configuration into objects, lists, text, numbers and
// switches, without secrets.
func tree(v reflect.Value) any {
	switch x := v.Interface().(type) {
	case time.Duration:
		return formatDuration(x)
	case ByteSize:
		return x.String()
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return tree(v.Elem())
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = tree(v.Index(i))
		}
		return list
	case reflect.Struct:
		var o object
		for i := range v.NumField() {
			switch tag := v.Type().Field(i).Tag.Get("yaml"); tag {
			case "", "-":
			case ",inline":
				o = append(o, secretMembers(v.Field(i).Interface().(Secret))...)
			default:
				o = append(o, member{tag, tree(v.Field(i))})
			}
		}
		return o
	default:
		return v.Interface()
	}
}

func secretMembers(s Secret) object {
	var o object
	if s.Value != "" {
		o = append(o, member{"password", redacted})
	}
	if s.File != "" {
		o = append(o, member{"password_file", s.File})
	}
	if s.Env != "" {
		o = append(o, member{"password_env", s.Env})
	}
	return o
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
