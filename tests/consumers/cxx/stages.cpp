// A host in C++: stages MODEL runs the two stages one by one and wants an expansion of every point.
// Prints the library's version.
#include <sot/sot.h>

#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>

namespace
{

template <class T> using handle = std::unique_ptr<T, void (*)(T *)>;

void check(sot_status status)
{
    if (status != SOT_OK)
        throw std::runtime_error(std::string(sot_status_name(status)) + ": " + sot_error_message());
}

handle<sot_points> skeleton_of(sot_session *session, const char *question)
{
    sot_points *points = nullptr;
    check(sot_skeleton(session, question, nullptr, &points));
    return {points, sot_points_free};
}

void run(const char *path)
{
    const char *question = "What are the benefits of learning the violin?";
    sot_model *model = nullptr;
    check(sot_model_load(path, nullptr, &model));
    handle<sot_model> keep_model(model, sot_model_free);
    sot_session *session = nullptr;
    check(sot_session_create(model, nullptr, &session));
    handle<sot_session> keep_session(session, sot_session_free);

    handle<sot_points> points = skeleton_of(session, question);
    sot_generate_params params = SOT_GENERATE_PARAMS_INIT;
    params.max_point_tokens = 8;
    sot_answer *answer = nullptr;
    check(sot_expand_batch(session, question, points.get(), &params, &answer));
    handle<sot_answer> keep_answer(answer, sot_answer_free);
    if (sot_points_count(points.get()) < 2 ||
        sot_answer_point_count(answer) != sot_points_count(points.get()))
        throw std::runtime_error(std::string("no points in ") + sot_points_source(points.get()));
    for (size_t i = 0; i < sot_answer_point_count(answer); i++)
        if (sot_answer_point_size(answer, i) == 0)
            throw std::runtime_error("point " + std::to_string(i) + " has no expansion");
}

} // namespace

int main(int argc, char **argv)
{
    std::cout << sot_version_string() << "\n";
    try {
        if (argc != 2)
            throw std::runtime_error("MODEL expected");
        run(argv[1]);
    } catch (const std::exception &error) {
        std::cerr << "stages: " << error.what() << "\n";
        return 1;
    }
    return 0;
}
