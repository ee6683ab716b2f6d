package server

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/model"
)

// openAPI is as much of the document as the tests look at.
type openAPI struct {
	Paths      map[string]map[string]operation `json:"paths"`
	Components struct {
		Schemas map[string]schema `json:"schemas"`
	} `json:"components"`
}

type operation struct {
	OperationID string `json:"operationId"`
	Summary     string `json:"summary"`
	Parameters  []struct {
		Name string `json:"name"`
		In   string `json:"in"`
	} `json:"parameters"`
	RequestBody *body           `json:"requestBody"`
	Responses   map[string]body `json:"responses"`
}

type body struct {
	Content map[string]struct {
		Schema schema `json:"schema"`
	} `json:"content"`
}

type schema struct {
	Ref                  string            `json:"$ref"`
	Type                 string            `json:"type"`
	Items                *schema           `json:"items"`
	Required             []string          `json:"required"`
	Properties           map[string]schema `json:"properties"`
	AdditionalProperties *schema           `json:"additionalProperties"`
}

// schemaTypes is the Go type of each schema.
var schemaTypes = map[string]any{
	"EventPacket": api.EventPacket{}, "Error": api.Error{}, "ErrorBody": api.ErrorBody{}, "Version": api.Version{}, "Status": api.Status{}, "Settings": api.Settings{},
	"NAT": api.NAT{}, "ExternalAddress": api.ExternalAddress{}, "PortRange": api.PortRange{}, "Timeouts": api.Timeouts{}, "Limits": api.Limits{},
	"NATSpec": api.NATSpec{}, "RenumberSpec": api.RenumberSpec{}, "Renumbering": api.Renumbering{},
	"ExplainSpec": api.ExplainSpec{}, "Explanation": api.Explanation{}, "Remedy": api.Remedy{}, "ExplainStep": api.ExplainStep{}, "PathMTU": api.PathMTU{}, "PacketsSpec": api.PacketsSpec{}, "ExplainedPacket": api.ExplainedPacket{},
	"DoctorSpec": api.DoctorSpec{}, "Restoration": api.Restoration{}, "Restored": api.Restored{}, "Finding": api.Finding{}, "Network": api.Network{}, "PXE": api.PXE{}, "NetworkSpec": api.NetworkSpec{},
	"Endpoint": api.Endpoint{}, "EndpointSpec": api.EndpointSpec{}, "TAPSpec": api.TAPSpec{}, "TAP": api.TAP{}, "Mapping": api.Mapping{},
	"Target": api.Target{}, "MappingSpec": api.MappingSpec{},
	"Proxy": api.Proxy{}, "ProxyRoute": api.ProxyRoute{}, "ProxySpec": api.ProxySpec{}, "Address": api.Address{}, "AddressSpec": api.AddressSpec{},
	"Lease": api.Lease{}, "Reservation": api.Reservation{}, "ReservationSpec": api.ReservationSpec{}, "Pool": api.Pool{}, "PoolSpec": api.PoolSpec{},
	"ConfigurationFile": api.ConfigurationFile{}, "ApplySpec": api.ApplySpec{}, "Applied": api.Applied{}, "ConfigurationChange": api.ConfigurationChange{},
	"FieldChange": api.FieldChange{}, "ExportedConfiguration": api.ExportedConfiguration{},
	"Port": api.Port{}, "EndedSessions": api.EndedSessions{}, "History": api.History{}, "Failure": api.Failure{}, "Drop": api.Drop{}, "EndedSession": api.EndedSession{},
	"Web": api.Web{}, "Traffic": api.Traffic{}, "Rate": api.Rate{}, "TrafficDrop": api.TrafficDrop{}, "TrafficNetwork": api.TrafficNetwork{}, "TrafficExternal": api.TrafficExternal{}, "TrafficEndpoint": api.TrafficEndpoint{}, "TrafficSession": api.TrafficSession{},
	"Clients": api.Clients{}, "Binding": api.Binding{}, "Session": api.Session{}, "Handshake": api.Handshake{}, "Event": api.Event{},
	"CapturedPacket": api.CapturedPacket{}, "PacketSide": api.PacketSide{}, "PacketSession": api.PacketSession{},
}

func parsed(t *testing.T) openAPI {
	t.Helper()
	var doc openAPI
	if err := json.Unmarshal(document, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDocumentHasEveryRouteAndNoOther(t *testing.T) {
	t.Parallel()
	var want, got []string
	for _, rt := range routes() {
		want = append(want, rt.method+" "+rt.path)
	}
	ids := map[string]string{}
	for path, operations := range parsed(t).Paths {
		for method, op := range operations {
			key := strings.ToUpper(method) + " " + path
			got = append(got, key)
			if other, dup := ids[op.OperationID]; dup || op.OperationID == "" || op.Summary == "" {
				t.Errorf("%s: operationId %q (also %q), summary %q", key, op.OperationID, other, op.Summary)
			}
			ids[op.OperationID] = key
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("routes (-handlers +document):\n%s", diff)
	}
}

func TestDocumentHasEachRoutesBodiesAndParameters(t *testing.T) {
	t.Parallel()
	doc := parsed(t)
	for _, rt := range routes() {
		op := doc.Paths[rt.path][strings.ToLower(rt.method)]
		if diff := cmp.Diff(describe(reflect.TypeOf(rt.in)), requestOf(op)); diff != "" {
			t.Errorf("%s %s request (-handler +document):\n%s", rt.method, rt.path, diff)
		}
		if diff := cmp.Diff(responseType(rt), responseOf(op)); diff != "" {
			t.Errorf("%s %s response (-handler +document):\n%s", rt.method, rt.path, diff)
		}
		if diff := cmp.Diff(pathParameters(rt.path), parameters(op, "path")); diff != "" {
			t.Errorf("%s %s path parameters (-handler +document):\n%s", rt.method, rt.path, diff)
		}
	}
	filters := slices.Sorted(maps.Keys(filterFields(&model.Filter{})))
	for _, path := range []string{"/v1/bindings", "/v1/sessions"} {
		if diff := cmp.Diff(filters, parameters(doc.Paths[path]["get"], "query")); diff != "" {
			t.Errorf("%s filters (-handler +document):\n%s", path, diff)
		}
	}
	if diff := cmp.Diff(append([]string{"all"}, filters...), parameters(doc.Paths["/v1/sessions"]["delete"], "query")); diff != "" {
		t.Errorf("deleting sessions (-handler +document):\n%s", diff)
	}
}

func TestFilterFieldsAreAllOfFilters(t *testing.T) {
	t.Parallel()
	var want []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[model.Filter]()) {
		want = append(want, strings.ToLower(f.Name))
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(filterFields(&model.Filter{})))); diff != "" {
		t.Errorf("(-model.Filter +filterFields):\n%s", diff)
	}
}

func TestSchemasAreTheGoTypes(t *testing.T) {
	t.Parallel()
	doc := parsed(t)
	for name := range doc.Components.Schemas {
		if schemaTypes[name] == nil {
			t.Errorf("schema %s has no Go type in this test", name)
		}
	}
	for name, v := range schemaTypes {
		typ, s := reflect.TypeOf(v), doc.Components.Schemas[name]
		want, required := map[string]string{}, []string{}
		for key, f := range fields(typ) {
			want[key] = describe(f.Type)
			if !strings.Contains(f.Tag.Get("json"), ",omit") {
				required = append(required, key)
			}
		}
		got := map[string]string{}
		for key, p := range s.Properties {
			got[key] = p.describe()
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-Go +document):\n%s", name, diff)
		}
		slices.Sort(required)
		slices.Sort(s.Required)
		if diff := cmp.Diff(required, s.Required); diff != "" && !strings.HasSuffix(name, "Spec") {
			t.Errorf("%s required (-Go +document):\n%s", name, diff)
		}
	}
}

// fields returns the JSON fields of a struct, those of embedded ones included.
func fields(typ reflect.Type) map[string]reflect.StructField {
	found := map[string]reflect.StructField{}
	for _, f := range reflect.VisibleFields(typ) {
		if key, _, _ := strings.Cut(f.Tag.Get("json"), ","); key != "" && key != "-" && f.IsExported() {
			found[key] = f
		}
	}
	return found
}

// describe says what JSON a Go type becomes, in the words of schema.describe.
func describe(typ reflect.Type) string {
	switch {
	case typ == nil:
		return ""
	case typ.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		return "string"
	}
	for name, v := range schemaTypes {
		if reflect.TypeOf(v) == typ {
			return name
		}
	}
	switch typ.Kind() {
	case reflect.Pointer:
		return describe(typ.Elem())
	case reflect.Slice:
		return "[]" + describe(typ.Elem())
	case reflect.Map:
		return "map of " + describe(typ.Elem())
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "integer"
	}
	return fmt.Sprintf("a Go %s", typ)
}

func (s schema) describe() string {
	switch {
	case s.Ref != "":
		return strings.TrimPrefix(s.Ref, "#/components/schemas/")
	case s.Type == "array" && s.Items != nil:
		return "[]" + s.Items.describe()
	case s.Type == "object" && s.AdditionalProperties != nil:
		return "map of " + s.AdditionalProperties.describe()
	}
	return s.Type
}

func responseType(rt route) string {
	switch rt.out.(type) {
	case stream:
		return "stream of Event"
	case packetStream:
		return "stream of CapturedPacket"
	case recordingFile:
		return "stream of object"
	case captureFile:
		return "file"
	case plainText:
		return "text"
	case map[string]any:
		return "object"
	}
	return describe(reflect.TypeOf(rt.out))
}

func requestOf(op operation) string {
	if op.RequestBody == nil {
		return ""
	}
	return op.RequestBody.Content["application/json"].Schema.describe()
}

func responseOf(op operation) string {
	for status, r := range op.Responses {
		if status == "default" {
			continue
		}
		if c, ok := r.Content[api.EventStream]; ok {
			return "stream of " + c.Schema.describe()
		}
		if _, ok := r.Content["text/plain"]; ok {
			return "text"
		}
		if _, ok := r.Content[api.PcapNG]; ok {
			return "file"
		}
		return r.Content["application/json"].Schema.describe()
	}
	return "no response"
}

var pathParameter = regexp.MustCompile(`\{(\w+)\}`)

func pathParameters(path string) (names []string) {
	for _, m := range pathParameter.FindAllStringSubmatch(path, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	return names
}

func parameters(op operation, in string) (names []string) {
	for _, p := range op.Parameters {
		if p.In == in {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return names
}
