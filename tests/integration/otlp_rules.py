"""The rules that an OTLP profiles request must keep, as the official checker has them, and a way to compare a request
with the pprof file it was made from. Works on any protobuf class of the request (ours, PyPI's)."""
from collections import Counter


class Broken(Exception):
    pass


def need(condition, text):
    if not condition:
        raise Broken(text)


def used_once(entries, name):
    seen = set()
    for i, entry in enumerate(entries):
        key = entry if isinstance(entry, str) else entry.SerializeToString(deterministic=True)
        need(key not in seen, f"{name}[{i}] is there twice")
        seen.add(key)


def check_rules(request, is_marshalled_again=False):
    """Raises Broken where a rule does not hold. The Collector writes the empty value of the zero attribute."""
    d = request.dictionary
    tables = {name: getattr(d, name) for name in (
        "mapping_table", "location_table", "function_table", "link_table", "string_table", "attribute_table",
        "stack_table")}
    for name, table in tables.items():
        need(len(table) > 0, f"{name} is empty")
        zero = table[0] if isinstance(table[0], str) else table[0].SerializeToString()
        need(len(zero) == 0 or is_marshalled_again and zero == b"\x12\x00", f"{name}[0] is not the zero element")
        used_once(table, name)
    used = {name: {0} for name in tables}

    def point(table, index, where):
        need(0 <= index < len(tables[table]), f"{where}: {table}[{index}] does not exist")
        used[table].add(index)

    def attributes(owner, where):
        keys = set()
        for a in owner.attribute_indices:
            point("attribute_table", a, where)
            need(a != 0, f"{where}: refers to the zero attribute")
            key = d.string_table[d.attribute_table[a].key_strindex]
            need(key and key not in keys, f"{where}: attribute '{key}' is empty or there twice")
            keys.add(key)

    for i, a in enumerate(d.attribute_table):
        point("string_table", a.key_strindex, f"attribute {i}")
        point("string_table", a.unit_strindex, f"attribute {i}")
        need(i == 0 or a.key_strindex != 0, f"attribute {i} has no key")
        need(i == 0 or a.value.WhichOneof("value"), f"attribute {i} has no value")
    for i, m in enumerate(d.mapping_table):
        point("string_table", m.filename_strindex, f"mapping {i}")
        need(m.memory_start <= m.memory_limit or m.memory_limit == 0, f"mapping {i}: ends before it begins")
        attributes(m, f"mapping {i}")
    for i, f in enumerate(d.function_table):
        for s in (f.name_strindex, f.system_name_strindex, f.filename_strindex):
            point("string_table", s, f"function {i}")
    for i, l in enumerate(d.location_table):
        point("mapping_table", l.mapping_index, f"location {i}")
        attributes(l, f"location {i}")
        for line in l.lines:
            point("function_table", line.function_index, f"location {i}")
            need(line.function_index != 0, f"location {i}: a line of the zero function")
    for i, s in enumerate(d.stack_table):
        for l in s.location_indices:
            point("location_table", l, f"stack {i}")
            need(l != 0, f"stack {i}: refers to the zero location")
    need(len(request.resource_profiles) > 0, "no resource")
    ids = set()
    for rp in request.resource_profiles:
        need(rp.HasField("resource"), "a resource is missing")
        for a in rp.resource.attributes:
            point("string_table", a.key_strindex, "resource")
            if a.value.WhichOneof("value") == "string_value_strindex":
                point("string_table", a.value.string_value_strindex, "resource")
        keys = [key_of(d, a) for a in rp.resource.attributes]
        need(len(keys) == len(set(keys)) and all(keys), f"resource attributes {keys}")
        need("service.name" in keys, "a resource without service.name")
        need(len(rp.scope_profiles) > 0, "a resource without scope")
        for sp in rp.scope_profiles:
            need(sp.HasField("scope") and sp.scope.name, "a scope is missing")
            need(len(sp.profiles) > 0, "a scope without profiles")
            for p in sp.profiles:
                check_profile(p, point, attributes, ids)
    for name, indices in used.items():
        need(len(indices) == len(tables[name]), f"{name}: {len(tables[name]) - len(indices)} entries nobody refers to")


def check_profile(p, point, attributes, ids):
    need(len(p.profile_id) == 16 and any(p.profile_id), "profile_id")
    need(p.profile_id not in ids, "a profile_id twice")
    ids.add(p.profile_id)
    need(p.HasField("sample_type") and p.HasField("period_type"), "sample_type or period_type is missing")
    for t in (p.sample_type, p.period_type):
        point("string_table", t.type_strindex, "value type")
        point("string_table", t.unit_strindex, "value type")
    need(p.sample_type.type_strindex and p.sample_type.unit_strindex, "an empty sample type")
    need(p.time_unix_nano > 1_600_000_000 * 10**9, f"time {p.time_unix_nano}")
    need(len(p.samples) > 0, "a profile without samples")
    attributes(p, "profile")
    seen = set()
    for i, s in enumerate(p.samples):
        point("stack_table", s.stack_index, f"sample {i}")
        point("link_table", s.link_index, f"sample {i}")
        attributes(s, f"sample {i}")
        n, t = len(s.values), len(s.timestamps_unix_nano)
        need((n, t) != (0, 0) and (t == 0 and n == 1 or n == 0 or n == t), f"sample {i}: {n} values, {t} timestamps")
        for stamp in s.timestamps_unix_nano:
            need(p.time_unix_nano <= stamp < p.time_unix_nano + p.duration_nano, f"sample {i}: time {stamp}")


def key_of(d, attribute):
    return attribute.key or d.string_table[attribute.key_strindex]


def any_value(v, d=None):
    kind = v.WhichOneof("value")
    if kind == "string_value_strindex":
        return d.string_table[v.string_value_strindex]
    if kind == "array_value":
        return tuple(any_value(x, d) for x in v.array_value.values)
    return getattr(v, kind) if kind else None


def frames_of(d, stack_index):
    """As pprof.Frame has them: name, file, line, mapping, build ID, address, whether it was inlined."""
    s, out = d.string_table, []
    for index in d.stack_table[stack_index].location_indices:
        l = d.location_table[index]
        m = d.mapping_table[l.mapping_index]
        ids = [any_value(d.attribute_table[a].value, d) for a in m.attribute_indices
               if s[d.attribute_table[a].key_strindex].startswith("process.executable.build_id.")]
        mapping, build_id = s[m.filename_strindex], ids[0] if ids else ""
        for i, line in enumerate(l.lines):
            f = d.function_table[line.function_index]
            out.append((s[f.name_strindex], s[f.filename_strindex], line.line, mapping, build_id, l.address,
                        i + 1 < len(l.lines)))
        if not l.lines:
            out.append(("", "", 0, mapping, build_id, l.address, False))
    return tuple(out)


def contents_of_pprof(profile, keep=lambda label: True):
    """The same as contents() from pprof.Profile."""
    out = {}
    for i, name in enumerate(profile.sample_types):
        values = out.setdefault(name, Counter())
        for s in profile.samples:
            labels = tuple(sorted((k, v) for k, v in s.labels.items() if keep(k)))
            if s.values[i]:
                values[labels, tuple(tuple(f) for f in s.stack)] += s.values[i]
    return out


LABELS = {"host.name": "host", "container.id": "container_id", "systemd.unit": "unit",
          "process.executable.path": "exe", "process.pid": "pid", "thread.id": "tid", "thread.name": "thread",
          "process.linux.cgroup": "cgroup"}


def contents(request, resource_labels=("host.name", "container.id", "systemd.unit", "process.executable.path")):
    """Counter of {(sample type, unit): {(labels, frames): value}} of one request."""
    d, out = request.dictionary, {}
    for rp in request.resource_profiles:
        resource = {LABELS[key_of(d, a)]: any_value(a.value, d) for a in rp.resource.attributes
                    if key_of(d, a) in resource_labels}
        for sp in rp.scope_profiles:
            for p in sp.profiles:
                name = (d.string_table[p.sample_type.type_strindex], d.string_table[p.sample_type.unit_strindex])
                values = out.setdefault(name, Counter())
                for s in p.samples:
                    labels = dict(resource)
                    for a in s.attribute_indices:
                        key = d.string_table[d.attribute_table[a].key_strindex]
                        labels[LABELS.get(key, key)] = any_value(d.attribute_table[a].value, d)
                    total = sum(s.values) if s.values else len(s.timestamps_unix_nano)
                    values[tuple(sorted(labels.items())), frames_of(d, s.stack_index)] += total
    return out
