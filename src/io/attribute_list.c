#include "io/attribute_list.h"

#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "io/h5_make.h"

enum { NAME_BYTES = 96, MAX_VALUES = 4 };

typedef enum value_kind { TEXT, I64, F64 } value_kind;

struct gmf_attribute {
  char object[NAME_BYTES], name[NAME_BYTES];
  value_kind kind;
  char *text; /* owned */
  int64_t i64[MAX_VALUES];
  double f64;
  int n; /* -1: a scalar */
};

/* NULL when memory ran out, which the list remembers. */
static gmf_attribute *add(gmf_attribute_list *list, const char *object, const char *name, value_kind kind)
{
  GMF_CHECK(strlen(object) < NAME_BYTES && strlen(name) < NAME_BYTES);
  if (GMF_RESERVE(list->items, list->capacity, list->n + 1, &list->error) != GMF_OK) return NULL;
  gmf_attribute *a = &list->items[list->n++];
  *a = (gmf_attribute){.kind = kind, .n = -1};
  snprintf(a->object, sizeof a->object, "%s", object);
  snprintf(a->name, sizeof a->name, "%s", name);
  return a;
}

void gmf_attribute_list_text(gmf_attribute_list *list, const char *object, const char *name, const char *value)
{
  gmf_attribute *a = add(list, object, name, TEXT);
  if (a == NULL) return;
  int64_t n = (int64_t)strlen(value) + 1;
  if (GMF_NEW(a->text, n, &list->error) == GMF_OK) memcpy(a->text, value, (size_t)n);
}

void gmf_attribute_list_f64(gmf_attribute_list *list, const char *object, const char *name, double value)
{
  gmf_attribute *a = add(list, object, name, F64);
  if (a != NULL) a->f64 = value;
}

void gmf_attribute_list_i64(gmf_attribute_list *list, const char *object, const char *name, const int64_t *values,
                            int n)
{
  GMF_CHECK(n >= -1 && n <= MAX_VALUES);
  gmf_attribute *a = add(list, object, name, I64);
  if (a == NULL) return;
  a->n = n;
  memcpy(a->i64, values, (size_t)(n < 0 ? 1 : n) * sizeof *values);
}

static gmf_status write_one(hid_t file, const gmf_attribute *a, gmf_error *err)
{
  switch (a->kind) {
    case TEXT: return gmf_h5_write_attr_text(file, a->object, a->name, a->text, err);
    case I64: return gmf_h5_write_attr_i64(file, a->object, a->name, a->i64, a->n, err);
    case F64: return gmf_h5_write_attr_f64(file, a->object, a->name, &a->f64, a->n, err);
  }
  return GMF_OK;
}

gmf_status gmf_attribute_list_write(const gmf_attribute_list *list, hid_t file, gmf_error *err)
{
  gmf_status status = GMF_OK;
  for (int64_t i = 0; i < list->n; i++) {
    GMF_TRY(gmf_h5_make_group(file, list->items[i].object, err));
    GMF_TRY(write_one(file, &list->items[i], err));
  }
cleanup:
  return status;
}

void gmf_attribute_list_free(gmf_attribute_list *list)
{
  for (int64_t i = 0; i < list->n; i++) gmf_free(list->items[i].text);
  gmf_free(list->items);
  *list = (gmf_attribute_list){0};
}
