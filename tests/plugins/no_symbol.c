/* A library of the plugin's name that is somebody else's. */
int an_answer(void);

__attribute__((visibility("default"))) int an_answer(void)
{
    return 42;
}
