// Package configfile reads and writes configuration files: YAML, of which JSON is a
// part. What may stand in them is said by the types wanted.Objects has; the JSON
// schema for editors is made of the same.
package configfile
