/* TensorRT without TensorRT: the nine symbols that its Python bindings link to.
 *
 * An object answers every virtual call with what a test has set for the call's slot, else with 0, and remembers the
 * slot, so that a test learns it by calling the method once. Both layouts of NVIDIA's interfaces are served: those
 * whose methods pass on to `implementation`, and those that are called directly. Methods that return `Dims` get the
 * place for them before the object.
 */
#include <stdint.h>
#include <string.h>

#define SLOTS 200
#define OBJECTS 64
#define ANSWERS 4

typedef intptr_t (*Method)(void *, void *);
typedef struct {
    int count, next;
    intptr_t values[ANSWERS];
} Slot;
typedef struct Object {
    Method *methods;
    struct Object *implementation;
    Slot slots[SLOTS];
} Object;
typedef struct {
    int32_t count;
    int64_t sides[8];
} Dims;

extern char _ZTISt9exception[]; /* a type_info, which pybind11 asks every object for */

static Object objects[OBJECTS];
static int made, last_slot = -1;
static Dims dims;
static void *factories[5], *logger;
static struct {
    int slot, severity;
    const char *text;
} waiting;

static void log_what_waits(void) {
    void (*log)(void *, int, const char *) = (*(void (***)(void *, int, const char *))logger)[waiting.slot];
    const char *text = waiting.text;
    waiting.text = 0;
    log(logger, waiting.severity, text);
}

static intptr_t answer(void *first, int number) {
    if (waiting.text && logger) log_what_waits();
    last_slot = number;
    if ((char *)first < (char *)objects || (char *)first >= (char *)(objects + OBJECTS)) {
        memcpy(first, &dims, sizeof dims);
        return (intptr_t)first;
    }
    Slot *slot = &((Object *)first)->slots[number];
    return slot->count ? slot->values[slot->next++ % slot->count] : 0;
}

#define METHOD(n) static intptr_t method##n(void *first, void *second) { (void)second; return answer(first, n - 100); }
#define ENTRY(n) (void *)method##n,
#define TEN(X, t) X(t##0) X(t##1) X(t##2) X(t##3) X(t##4) X(t##5) X(t##6) X(t##7) X(t##8) X(t##9)
#define HUNDRED(X, h) TEN(X, h##0) TEN(X, h##1) TEN(X, h##2) TEN(X, h##3) TEN(X, h##4) \
    TEN(X, h##5) TEN(X, h##6) TEN(X, h##7) TEN(X, h##8) TEN(X, h##9)
HUNDRED(METHOD, 1)
HUNDRED(METHOD, 2)
static void *table[] = {0, _ZTISt9exception, HUNDRED(ENTRY, 1) HUNDRED(ENTRY, 2)};

/* For the test. */
void *stub_object(void) {
    Object *object = &objects[made++ % OBJECTS];
    memset(object, 0, sizeof *object);
    object->methods = (Method *)(table + 2);
    object->implementation = object;
    return object;
}
void stub_answer(Object *object, int slot, int count, const intptr_t *values) {
    object->slots[slot].count = count;
    object->slots[slot].next = 0;
    memcpy(object->slots[slot].values, values, count * sizeof *values);
}
int stub_last_slot(void) { return last_slot; }
void stub_factory(int index, void *object) { factories[index] = object; }
void stub_dims(int count, const int64_t *sides) {
    dims.count = count;
    memcpy(dims.sides, sides, count * sizeof *sides);
}
void stub_log_soon(int slot, int severity, const char *text) {
    waiting.slot = slot;
    waiting.severity = severity;
    waiting.text = text;
}

/* For the bindings. */
void *createInferBuilder_INTERNAL(void *log, int32_t version) { (void)version; logger = log; return factories[0]; }
void *createInferRuntime_INTERNAL(void *log, int32_t version) { (void)version; logger = log; return factories[1]; }
void *createNvOnnxParser_INTERNAL(void *network, void *log, int version) {
    (void)network, (void)log, (void)version;
    return factories[2];
}
void *createInferRefitter_INTERNAL(void *engine, void *log, int32_t version) {
    (void)engine, (void)log, (void)version;
    return factories[3];
}
void *createNvOnnxParserRefitter_INTERNAL(void *refitter, void *log, int version) {
    (void)refitter, (void)log, (void)version;
    return factories[4];
}
void *getBuilderPluginRegistry(int32_t capability) { (void)capability; return 0; }
void *getPluginRegistry(void) { return 0; }
int getNvOnnxParserVersion(void) { return 0; }
int initLibNvInferPlugins(void *log, const char *space) { (void)log, (void)space; return 0; }
